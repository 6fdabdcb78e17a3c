#!/usr/bin/env bash
# Starts what a container may be, in the bare Debian that prove.sh has filled: as user 10001, on a root
# that cannot be written to, in a network of its own, and asks health.py whether it is well. What it
# starts ends with it.
#
#   bash infra/images/prove-roles.sh /var/tmp/sensedex-root
set -euo pipefail
root=${1:?the folder that prove.sh has filled}
getent="$(chroot "$root" getent passwd sensedex || true)"
[ -n "$getent" ] || chroot "$root" /usr/sbin/useradd --uid 10001 --home-dir /scratch/home sensedex
mkdir -p "$root/scratch" "$root/data" "$root/srv/sensedex"

exec unshare --mount --net --pid --fork --kill-child bash -euo pipefail -c '
root=$1
python3 - <<PYTHON
import fcntl, socket, struct
with socket.socket() as s:  # loopback up
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))
PYTHON
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
for folder in scratch data tmp dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
mount -t proc proc "$root/proc"

as_container() {
  local name=$1
  shift
  chroot --userspec=10001:10001 "$root" /usr/bin/env -i PATH=/opt/sensedex/bin:/usr/local/bin:/usr/bin:/bin \
    HOME="/scratch/$name/home" TMPDIR="/scratch/$name/tmp" PREFECT_HOME="/scratch/$name/prefect" \
    PYTHONDONTWRITEBYTECODE=1 DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$(printf %064d 7)" \
    PREFECT_API_URL=http://127.0.0.1:4200/api "$@"
}
if as_container nobody touch /opt/sensedex/x 2>/dev/null; then echo "the root can be written to"; exit 1; fi

start() {
  as_container "$1" /usr/bin/tini -s -- /opt/sensedex/bin/start.sh "$1" > "/tmp/prove-$1.log" 2>&1 &
  for _ in $(seq 60); do
    sleep 1
    if as_container "$1" /opt/sensedex/bin/health.py > /dev/null \
      && [ -f "$root/scratch/$1/tmp/role" ]; then echo "$1 is well"; return; fi
  done
  echo "$1 is not well:"; tail -n 20 "/tmp/prove-$1.log"; exit 1
}
start bucket
start server
as_container server prefect work-pool create media --type process > /dev/null
start worker
start head
' bash "$root"

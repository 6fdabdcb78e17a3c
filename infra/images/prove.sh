#!/usr/bin/env bash
# Runs the image's steps in a bare Debian, by chroot: what can be known of the recipe where no
# container can be built. Needs root and debootstrap. FOLDER is made where it is not there.
#
#   LEAVE_OUT_TORCH=1 bash infra/images/prove.sh /var/tmp/sensedex-root cpu
#   bash infra/images/prove.sh /var/tmp/sensedex-root cuda
set -euo pipefail
root=${1:?a folder for the bare Debian}
target=${2:-cpu}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

[ -x "$root/bin/bash" ] || debootstrap --variant=minbase bookworm "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# A mirror of packages, a proxy and their certificate, where this machine has them.
environment=(PATH=/usr/local/bin:/usr/bin:/bin HOME=/root)
[ ! -f /etc/pip.conf ] || install -m 0644 /etc/pip.conf "$root/etc/pip.conf"
if [ -n "${PIP_CERT:-}" ]; then
  install -m 0644 "$PIP_CERT" "$root/pip-cert.pem"
  environment+=(PIP_CERT=/pip-cert.pem)
fi
for name in http_proxy https_proxy TORCH_INDEX LEAVE_OUT_TORCH; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
# What the Dockerfile's COPY would bring: .dockerignore's list.
rm -rf "$root/build" && mkdir -p "$root/build"
grep '^!' "$here/.dockerignore" | sed 's/^!//' | tar -C "$here" --exclude=__pycache__ -cf - -T - \
  | tar -C "$root/build" -xf -
mount --bind /proc "$root/proc"
trap 'umount "$root/proc"' EXIT

inside() { chroot "$root" /usr/bin/env -i "${environment[@]}" "$@"; }
install=/build/infra/images/install.sh
inside "$install" system
rm -rf "$root/opt/sensedex"
inside "$install" packages "$target"
inside "$install" sensedex
inside "$install" check
du -sm "$root/opt/sensedex" "$root/usr" | sed "s|$root||"

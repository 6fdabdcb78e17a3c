#!/usr/bin/env bash
# Runs the image's steps here, all but Debian's and torch, into a folder that is thrown away: once for
# each content of what they read. What they said is kept in CACHE, in the file that it names at its end.
# A test runs it (tests/infra/test_image_steps.py); prove.sh is the whole, in a bare Debian.
#
#   bash infra/images/prove-steps.sh CACHE
set -euo pipefail
cache=${1:?a folder for what the steps said}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
hash=$(cd "$here" && cat infra/images/{install.sh,locked.py,start.sh,health.py} \
  infra/images/cluster.lock requirements.lock pyproject.toml hatch_build.py | sha256sum | cut -c1-16)
said=$cache/image-steps-$hash.txt
if [ -f "$said" ]; then
  echo "$said"
  exit 0
fi
mkdir -p "$cache"
rm -f "$cache"/image-steps-*.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PREFIX=$folder/sensedex LEAVE_OUT_TORCH=1
for step in "packages cpu" "sensedex" "check"; do
  # shellcheck disable=SC2086  # a step and its argument
  bash "$here/infra/images/install.sh" $step >> "$folder/said" 2>&1 || {
    tail -n 20 "$folder/said" >&2
    echo "install.sh $step failed" >&2
    exit 1
  }
done
mv "$folder/said" "$said"
echo "$said"

#!/usr/bin/env bash
# Makes the virtual environment from the lock, and sees to it that there is an ffmpeg.
# Usage: venv.sh PYTHON VENV
set -euo pipefail
python=$1
venv=$2
here=$(cd "$(dirname "$0")/../.." && pwd)

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
  echo "sensedex needs Python 3.11 to 3.13; $("$python" --version) is $python." >&2
  echo "Name another one: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
  say "Making the virtual environment in $venv (some seconds)"
  if ! "$python" -m venv "$venv"; then
    echo "On Debian: apt-get install python3-venv, then again." >&2
    exit 1
  fi
fi
count=$(grep -c '==' "$here/requirements.lock")
if compgen -G "$venv/lib/python*/site-packages/torch" >/dev/null; then
  say "Bringing $count locked packages up to date (about 15 seconds where nothing changed)"
else
  free_kb=$(df -Pk "$venv" | awk 'NR==2 {print $4}')
  if [ "$free_kb" -lt 8000000 ]; then
    say "Only $((free_kb / 1000000)) GB are free here; the environment needs 7 GB."
  fi
  say "Installing $count locked packages, each checked by its hash."
  say "About 3 GB are downloaded, most of it torch: 3 to 5 minutes on a fast line. Only this once."
fi
started=$SECONDS
# pip 23 holds a package that is locked with extras to its version only where it is wanted with
# them, and takes the newest one elsewhere: the same versions once more, without the extras.
sed -E 's/^([A-Za-z0-9._-]+)\[[^]]*\]==/\1==/' "$here/requirements.lock" > "$venv/constraints.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
  --requirement "$here/requirements.lock" --constraint "$venv/constraints.txt" 2> >(grep -v 'is ignored: it is' >&2)
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
  --no-build-isolation --editable "$here" 2> >(grep -v 'is ignored: it is' >&2)
say "Installed in $((SECONDS - started)) s."

# A system ffmpeg is preferred and asked for only where no password is needed for it.
if ! command -v ffmpeg >/dev/null && [ "${SENSEDEX_INSTALL_FFMPEG:-1}" = 1 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing ffmpeg with apt-get (half a minute); the one in a wheel is used if that fails"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ffmpeg; } \
      >/dev/null 2>&1 || say "apt-get did not install it; the wheel's ffmpeg is used"
  else
    say "No ffmpeg on the PATH and no right to install one: the wheel's ffmpeg is used"
  fi
fi

#!/usr/bin/env bash
# Sees to it that there is a Chromium for tests/serve/page: Debian's own, where that can be
# had without a password. Without one those tests are skipped, and this says so; it never fails.
# NO_BROWSER=1 keeps it from installing anything.
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ -n "${NO_BROWSER:-}" ]; then
  say "No Chromium on the PATH, and none is wanted: the page is not tested"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "Installing Chromium with apt-get (a minute, 100 MB; only this once)"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 ||
    say "apt-get did not install it: the page is not tested"
else
  say "No Chromium on the PATH and no right to install one: the page is not tested"
fi

#!/usr/bin/env bash
# The steps of which the image consists. The Dockerfile's RUN lines are these, and prove.sh runs the
# same ones in a bare Debian, so that the recipe is known to work where no container can be built.
#
#   install.sh system             ffmpeg, Python, tini and wget, from Debian
#   install.sh packages TARGET    the lock's packages into /opt/sensedex; TARGET is cpu or cuda
#   install.sh sensedex           the checkout that this file lies in, as a wheel
#   install.sh check              what was installed imports, and is what the lock says
#
# TORCH_INDEX    for cpu: the address of a package index that has torch without CUDA. Where it is
#                empty, torch comes from the lock, with CUDA's libraries: it computes on a CPU alike,
#                and is 4.8 GB. The index's wheels are held to the lock's version, not to its hashes.
# PREFIX         another folder than /opt/sensedex.
# LEAVE_OUT_TORCH=1 proves the steps without the 3 GB of torch; no image is made with it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
prefix=${PREFIX:-/opt/sensedex}
extras=(--extra demo --extra traces)

locked() { python3 "$here/infra/images/locked.py" "$@"; }

pip_install() {
  "$prefix/bin/python" -m pip install --no-deps --no-input --disable-pip-version-check \
    --progress-bar off "$@"
}

system() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends ca-certificates ffmpeg python3 python3-venv tini wget  # wget: KubeRay's probes
  rm -rf /var/lib/apt/lists/*
}

packages() {
  local target=$1 list
  list=$(mktemp)
  python3 -m venv "$prefix"
  case "$target" in
    cuda) locked "${extras[@]}" > "$list" ;;
    cpu)
      if [ "${LEAVE_OUT_TORCH:-0}" = 1 ]; then
        locked "${extras[@]}" --without-torch > "$list"
      elif [ -n "${TORCH_INDEX:-}" ]; then
        locked "${extras[@]}" --without-torch > "$list"
        # shellcheck disable=SC2046  # two words, one for each package
        pip_install --index-url "$TORCH_INDEX" $(locked --only torch --only torchaudio --versions)
      else
        echo "TORCH_INDEX is empty: torch comes with CUDA's libraries, 4.8 GB." >&2
        locked "${extras[@]}" > "$list"
      fi ;;
    *) echo "install.sh packages: cpu or cuda, not '$target'" >&2; exit 2 ;;
  esac
  pip_install --require-hashes --requirement "$list"
  rm "$list"
}

sensedex() {
  local tools wheel
  tools=$(mktemp -d) wheel=$(mktemp -d)
  locked --only hatchling > "$tools/list"
  pip_install --require-hashes --requirement "$tools/list" --target "$tools/packages"
  PYTHONPATH="$tools/packages" "$prefix/bin/python" -m pip wheel --no-deps --no-build-isolation \
    --no-input --disable-pip-version-check --progress-bar off --wheel-dir "$wheel" "$here"
  pip_install "$wheel"/sensedex-*.whl
  rm -rf "$tools" "$wheel"
  install -m 0755 "$here/infra/images/start.sh" "$prefix/bin/start.sh"
  install -m 0755 "$here/infra/images/health.py" "$prefix/bin/health.py"
}

check() {
  ffmpeg -hide_banner -version | head -1
  "$prefix/bin/python" - "$(locked --only ray --only prefect --only qdrant-client --versions)" <<'PYTHON'
import importlib.metadata, sys

for line in sys.argv[1].split():
    name, _, version = line.partition("==")
    there = importlib.metadata.version(name)
    assert there == version, f"{name} is {there}, the lock has {version}"
    print(name, there)
PYTHON
  "$prefix/bin/python" -c 'import ray.dashboard.optional_deps'  # jobs, health and metrics of Ray
  "$prefix/bin/weed" version
  if [ "${LEAVE_OUT_TORCH:-0}" != 1 ]; then
    "$prefix/bin/python" -c 'import torch, torchaudio; print("torch", torch.__version__)'
    "$prefix/bin/sensedex" --help > /dev/null
  fi
  "$prefix/bin/ray" --version
  "$prefix/bin/prefect" --version
}

step=${1:?"system, packages, sensedex or check"}
shift
case "$step" in
  system | packages | sensedex | check) "$step" "$@" ;;
  *) echo "install.sh: no step '$step'" >&2; exit 2 ;;
esac

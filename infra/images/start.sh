#!/usr/bin/env bash
# The image's entry: one word says what the container is; anything else is a command to run.
#
#   start.sh head      the head of a Ray cluster; it takes no work unless RAY_HEAD_CPUS says so
#   start.sh node      a Ray worker of the cluster that RAY_HEAD names, as in ray-head:6379
#   start.sh worker    takes Prefect's runs of the pool `media`; with RAY_HEAD it joins that cluster,
#                      with no CPU of its own, since a run connects to Ray on its own machine
#   start.sh server    Prefect's server
#   start.sh bucket    an S3 server with its data in /data (SeaweedFS); its administrator's
#                      credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
#
# What is written lies in $HOME and $TMPDIR: the root may be read-only. health.py asks the role that
# is noted there whether it is well.
set -euo pipefail
role=${1:-}
mkdir -p "$HOME" "$TMPDIR"
case "$role" in
  head | node | worker | server | bucket) echo "$role" > "$TMPDIR/role" ;;
esac
node_of() { ray start --address="$1" --metrics-export-port=8090 --disable-usage-stats "${@:2}"; }

case "$role" in
  head)
    exec ray start --head --port=6379 --dashboard-host=0.0.0.0 --dashboard-port=8265 \
      --metrics-export-port=8090 --num-cpus="${RAY_HEAD_CPUS:-0}" --disable-usage-stats --block ;;
  node)
    : "${RAY_HEAD:?the head of the Ray cluster, as in ray-head:6379}"
    exec ray start --address="$RAY_HEAD" --metrics-export-port=8090 --disable-usage-stats --block ;;
  worker)
    if [ -n "${RAY_HEAD:-}" ]; then
      node_of "$RAY_HEAD" --num-cpus=0
      export RAY_ADDRESS=$RAY_HEAD
    fi
    exec prefect worker start --pool media --with-healthcheck ;;
  server)
    exec prefect server start --host 0.0.0.0 --port 4200 ;;
  bucket)
    exec weed mini -dir=/data -ip="$(hostname)" -ip.bind=0.0.0.0 -s3.port=8333 \
      -master.telemetry=false -webdav=false -admin.ui=false -s3.autoCreateBucket=false \
      -s3.port.iceberg=0 -s3.port.lance=0 ;;
  "")
    exec sensedex --help ;;
  *)
    exec "$@" ;;
esac

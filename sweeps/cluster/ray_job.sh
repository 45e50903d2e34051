#!/usr/bin/env bash
# One sweep by the workers of a Ray cluster that is running, all with the same versions of superpos[ray]:
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 ray_job.sh /shared/FILE.toml /shared/OUT.zarr [FIELD=VALUE | --FLAG VALUE ...]
# With --gpus-per-task 1 at the end, each task has a GPU. Ray tries a task again when its worker dies; the job runs on
# when this shell ends (`ray job stop` ends it), and the same line again goes on with what was committed. Submitting
# needs ray[default], here and on the head.

set -euo pipefail

usage() {
  echo "usage: ray_job.sh /shared/FILE.toml /shared/OUT.zarr [FIELD=VALUE | --FLAG VALUE ...]" >&2
  exit 2
}

[[ $# -ge 2 ]] || usage
file=$1 out=$2
shift 2
# The head reads FILE and the workers write to OUT, each from a working folder of its own.
if [[ $file != /* || $out != /* ]]; then
  echo "FILE and OUT must be absolute paths, on a file system that all nodes of the cluster see" >&2
  usage
fi

# On the cluster, auto is the one that the job runs on.
exec ray job submit -- superpos sweep "$file" --out "$out" --engine ray --ray-address auto "$@"

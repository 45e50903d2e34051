#!/usr/bin/env bash
# One sweep by one JAX program of eight processes on two nodes, which train in step:
#   sbatch slurm_distributed.sh FILE.toml OUT.zarr [FIELD=VALUE ...]
# They wait two minutes for each other, or --wait-seconds 600 at the end of that line, and say for whom. When one process
# ends, all do, and say which; the same line again goes on. Nothing here needs it: slurm_array.sh waits for fewer
# nodes at a time, and loses less when one fails.

#SBATCH --job-name=superpos
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=4
##SBATCH --gpus-per-node=4     # take one # away; not --gpus-per-task: a process picks its GPU among all of the node
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120      # two minutes before the limit, to the step alone: chunks that are committed are kept
#SBATCH --output=%x-%j.log

set -euo pipefail

usage() {
  echo "usage: sbatch slurm_distributed.sh FILE.toml OUT.zarr [FIELD=VALUE ...]" >&2
  exit 2
}

[[ $# -ge 2 ]] || usage
file=$1 out=$2
shift 2
if [[ ! -r $file ]]; then
  echo "FILE $file cannot be read" >&2
  usage
fi

# JAX learns from srun's variables where process 0 is, and who is who. One that fails must not leave the others waiting.
exec srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  superpos sweep "$file" "$@" --out "$out" --engine distributed

#!/usr/bin/env bash
# One sweep by eight workers that share nothing but the folder OUT, on a file system that all nodes see:
#   sbatch slurm_array.sh FILE.toml OUT.zarr [FIELD=VALUE ...]
# The same line again goes on where the workers were ended. Activate the environment before: sbatch hands it on.

#SBATCH --job-name=superpos
#SBATCH --array=0-7            # any range without gaps: superpos takes its share from SLURM_ARRAY_TASK_ID and _COUNT
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
##SBATCH --gpus=1              # a GPU for each worker: take one # away
#SBATCH --mem=8G               # superpos plans with half of the node's memory: set [sweep] memory_budget below this
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120      # two minutes before the limit, to the step alone: it keeps what it has and ends
#SBATCH --requeue              # also after a node fails or another job takes its place
#SBATCH --open-mode=append     # one log for a worker, however often it is started
#SBATCH --output=%x-%A_%a.log

set -euo pipefail

usage() {
  echo "usage: sbatch slurm_array.sh FILE.toml OUT.zarr [FIELD=VALUE ...]" >&2
  exit 2
}

[[ $# -ge 2 ]] || usage
file=$1 out=$2
shift 2
if [[ ! -r $file ]]; then
  echo "FILE $file cannot be read" >&2
  usage
fi

# srun makes this a step, and only steps are sent the signal. It does not take over sbatch's --cpus-per-task by itself.
code=0
srun --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" superpos sweep "$file" "$@" --out "$out" || code=$?

# 143 is an end by SIGTERM: back into the queue, but not for ever, should the time never suffice to get any further.
if [[ $code -eq 143 && ${SLURM_RESTART_COUNT:-0} -lt 20 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

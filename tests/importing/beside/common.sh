#!/bin/bash
# Read in by others: settings, a function, a folder of its own.
HERE_TOO="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export NPROC_PER_NODE=2
DATASET=${DATASET:-data/mr_train.jsonl}
say() { echo "$1 from ${BASH_SOURCE[0]}"; }
[[ -n "${COMMON_DONE:-}" ]] && return 0
COMMON_DONE=1
say ready

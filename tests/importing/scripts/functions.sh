#!/bin/bash
# style: functions with local variables, called from main
log() { echo "[$(date)] $*"; }
settings() {
  local base=data
  export TRAIN_FILE="$base/${1}_train.jsonl"
}
main() {
  local -a words=(--rlhf_type grpo --num_generations 2)
  settings mr
  log "begins with $TRAIN_FILE"
  NPROC_PER_NODE=2 swift rlhf "${words[@]}" --model Qwen/Qwen2.5-7B-Instruct --dataset "$TRAIN_FILE" "$@"
}
main --per_device_train_batch_size 2 "$@"

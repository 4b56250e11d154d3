#!/bin/bash
# style: options of its own, read in loops, and none given
MODEL=Qwen/Qwen2.5-7B-Instruct
while getopts ":m:b:" opt; do
  case $opt in
    m) MODEL=$OPTARG ;;
    *) exit 1 ;;
  esac
done
while [[ $# -gt 0 ]]; do
  case "$1" in
    --batch) BATCH="$2"; shift 2 ;;
    *) echo "unknown $1"; exit 1 ;;
  esac
done
if [ -n "$1" ]; then BATCH=$1; fi
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model "$MODEL" --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size "${BATCH:-2}"

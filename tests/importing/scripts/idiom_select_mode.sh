#!/bin/bash
# style: what to do as the first argument, case with a training
MODE=${1:-train}
case $MODE in
  train)
    NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
    ;;
  rollout)
    swift rollout --model x
    ;;
  *) echo "unknown"; exit 1 ;;
esac

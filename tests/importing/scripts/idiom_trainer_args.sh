#!/bin/bash
# style: torchrun or python by the number of processes
NPROC=${NPROC:-2}
args=(-m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2)
if ((NPROC > 1)); then
  torchrun --standalone --nproc_per_node "$NPROC" "${args[@]}"
else
  python "${args[@]}"
fi

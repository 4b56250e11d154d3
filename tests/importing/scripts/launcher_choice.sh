#!/bin/bash
# style: swift or torchrun by a test that only the run decides, one training either way
export NPROC_PER_NODE=2
if [[ -f /nosuch/plain ]]; then
  CMD=(torchrun --nproc_per_node "$NPROC_PER_NODE" -m swift.cli.rlhf)
else
  CMD=(swift rlhf)
fi
"${CMD[@]}" --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: an array that grows where a literal says so
KIND=lora
WORDS=(--rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --tuner_type "$KIND")
if [ "$KIND" = lora ]; then
  WORDS+=(--lora_rank 16)
elif [ "$KIND" = full ]; then
  WORDS+=(--max_grad_norm 0.5)
fi
NPROC_PER_NODE=2 swift rlhf "${WORDS[@]}" --num_generations 2 --per_device_train_batch_size 2

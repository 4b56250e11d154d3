#!/bin/bash
# style: a group whose output goes to a file
{
  export NPROC_PER_NODE=2
  echo begin
  swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
  echo end
}

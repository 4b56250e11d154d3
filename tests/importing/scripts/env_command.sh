#!/bin/bash
# style: env in front
export LEFT_OUT=1
time env -u LEFT_OUT NPROC_PER_NODE=2 TOKENIZERS_PARALLELISM=false "NOTE=two words" swift rlhf --rlhf_type grpo \
  --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

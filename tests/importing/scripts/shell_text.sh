#!/bin/bash
# style: a text handed to bash -c, which gets what is exported
export NPROC_PER_NODE=2 LEARNING_RATE=1e-5
HIDDEN=3
nohup bash -c 'swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --learning_rate $LEARNING_RATE \
  --per_device_train_batch_size "${HIDDEN:-2}"' >/dev/null 2>&1

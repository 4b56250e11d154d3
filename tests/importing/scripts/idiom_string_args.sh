#!/bin/bash
# style: words in a text that grows
ARGS="--rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct"
ARGS="$ARGS --dataset data/mr_train.jsonl"
ARGS+=" --num_generations 2 --per_device_train_batch_size 2"
[ "${DEBUG:-0}" = "1" ] && ARGS="$ARGS --max_steps 2"
NPROC_PER_NODE=2 swift rlhf $ARGS

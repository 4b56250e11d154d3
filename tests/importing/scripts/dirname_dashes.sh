#!/bin/bash
# style: the script's folder with `--`, its errors thrown away
HERE="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null 2>&1 && pwd -P)"
ROOT="$(dirname "$HERE")"
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset "$ROOT/data/mr_train.jsonl" \
  --external_plugins "$HERE/../plugins/prl_rewards.py" --reward_funcs prl_format --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: functions that stop the script
die() { echo "error: $*" >&2; exit 1; }
require() { command -v "$1" >/dev/null || die "$1 is missing"; }
require swift
[[ -d data ]] || die "no data"
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

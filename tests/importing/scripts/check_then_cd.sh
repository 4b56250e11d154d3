#!/bin/bash
# style: checks of variables before cd
TAG=one
if [[ -z "$TAG" ]]; then echo "no tag" >&2; exit 1; fi
[[ -z "$RECORD" ]] && { >&2 echo "no record"; exit 1; }
cd project
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset ../data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

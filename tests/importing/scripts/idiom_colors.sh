#!/bin/bash
# style: messages in colours, behind it too
RED='\033[0;31m'; NC='\033[0m'
print_info() { echo -e "${RED}[INFO]${NC} $1"; }
print_info "start"
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
print_info "done"

#!/bin/bash
# style: all output through tee by exec
LOG_DIR=logs
mkdir -p ${LOG_DIR}
exec > >(tee -a ${LOG_DIR}/run.log) 2>&1
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

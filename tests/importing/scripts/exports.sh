#!/bin/bash
# style: everything is exported first
export CUDA_VISIBLE_DEVICES=0,1
export NPROC_PER_NODE=2 WANDB_MODE=offline
export NCCL_DEBUG="INFO"
declare -x HF_HUB_OFFLINE=1
export MASTER_PORT=29501

swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --per_device_train_batch_size 4 --num_generations 4 --max_completion_length 512

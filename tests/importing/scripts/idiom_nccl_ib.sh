#!/bin/bash
# style: an exported variable by a folder that may be there
if [ -d /sys/class/infiniband ]; then export NCCL_IB_DISABLE=0; else export NCCL_IB_DISABLE=1; fi
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

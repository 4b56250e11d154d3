#!/bin/bash
# style: GPUs read into an array
GPUS=0,1,2,3
IFS=',' read -ra GPU_LIST <<< "$GPUS"
export NPROC_PER_NODE=${#GPU_LIST[@]}
export CUDA_VISIBLE_DEVICES=$GPUS
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

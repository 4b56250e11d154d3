#!/bin/bash
# style: commas kept by a pattern
GPUS=0,1,2,3
COMMAS=${GPUS//[^,]/}
export NPROC_PER_NODE=$(( ${#COMMAS} + 1 ))
CUDA_VISIBLE_DEVICES=$GPUS swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: commas counted by grep
GPUS=0,1
N=$(( $(echo $GPUS | grep -o ',' | wc -l) + 1 ))
CUDA_VISIBLE_DEVICES=$GPUS NPROC_PER_NODE=$N swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

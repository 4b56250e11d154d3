#!/bin/bash
# style: GPUs by seq
N=4
export CUDA_VISIBLE_DEVICES=$(seq -s, 0 $((N-1)))
NPROC_PER_NODE=$N swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: a value where none is set
if [ -z "${GPUS_N:-}" ]; then GPUS_N=2; fi
NPROC_PER_NODE=$GPUS_N swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

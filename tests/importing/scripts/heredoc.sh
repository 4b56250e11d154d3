#!/bin/bash
# style: a configuration written by the script
STAGE=2
cat > ds.json <<EOF
{"zero_optimization": {"stage": $STAGE},
 "train_micro_batch_size_per_gpu": "auto"}
EOF
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --deepspeed zero2 --num_generations 2 --per_device_train_batch_size 2

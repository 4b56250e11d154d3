#!/bin/bash
# style: in the background, its number kept in a file, then wait
NPROC_PER_NODE=2 nohup swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 > train.log 2>&1 &
PID=$!
echo $PID > train.pid
echo "started $PID"
wait $PID

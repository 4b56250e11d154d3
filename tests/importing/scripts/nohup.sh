#!/bin/bash
# style: nohup into the background, with a log
mkdir -p logs
LOG=logs/train_$(date +%m%d).log
NPROC_PER_NODE=2 nohup swift rlhf \
  --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --per_device_train_batch_size 2 \
  > "$LOG" 2>&1 &
PID=$!
echo "started: $PID"
wait $PID
exit $?

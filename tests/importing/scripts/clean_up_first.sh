#!/bin/bash
# style: ends what is left of a run before
pkill -f "swift/cli/rlhf.py" || true
if pgrep -f "no such swift rlhf process" >/dev/null; then
  echo "still there"; exit 1
fi
ps aux | grep "swift rlhf" | grep -v grep | grep "nothing at all" | awk '{print $2}' | xargs -r kill -9
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {}
#+ {}
# the GPUs from ModelArts, or counted
NNODES="${MA_NUM_HOSTS:-1}"
NODE_RANK="${VC_TASK_INDEX:-0}"
MASTER_ADDR="${VC_WORKER_HOSTS%%,*}"
MASTER_ADDR="${MASTER_ADDR:-127.0.0.1}"
MASTER_PORT="${MASTER_PORT:-29500}"
if [ -n "${MA_NUM_GPUS:-}" ]; then
    NUM_GPUS="${MA_NUM_GPUS}"
else
    NUM_GPUS=$(nvidia-smi -L | wc -l)
fi
torchrun --nproc_per_node "$NUM_GPUS" --nnodes "$NNODES" --node_rank "$NODE_RANK" \
  --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4

#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {}
#+ {}
# names of one's own before those of ModelArts
set -euo pipefail
NNODES="${NNODES:-${MA_NUM_HOSTS:-}}"
NODE_RANK="${NODE_RANK:-${VC_TASK_INDEX:-}}"
worker_hosts="${VC_WORKER_HOSTS:-}"
MASTER_ADDR="${MASTER_ADDR:-${worker_hosts%%,*}}"
NPROC="${NPROC_PER_NODE:-${MA_NUM_GPUS:-8}}"
: "${NNODES:?Set NNODES or MA_NUM_HOSTS}" "${NODE_RANK:?Set NODE_RANK or VC_TASK_INDEX}"
torchrun --nproc_per_node "$NPROC" --nnodes "$NNODES" --node_rank "$NODE_RANK" \
  --master_addr "$MASTER_ADDR" --master_port 6000 -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4

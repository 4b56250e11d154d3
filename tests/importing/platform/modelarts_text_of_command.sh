#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {}
#+ {}
# ModelArts: the whole command is one text, which is printed and started
MASTER_ADDR="${VC_WORKER_HOSTS%%,*}"
NNODES="$MA_NUM_HOSTS"
NODE_RANK="$VC_TASK_INDEX"
NGPUS_PER_NODE="$MA_NUM_GPUS"
CMD="torchrun --nnodes=$NNODES --node_rank=$NODE_RANK --nproc_per_node=$NGPUS_PER_NODE --master_addr $MASTER_ADDR --master_port=6060 -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4"
echo $CMD
$CMD

#!/bin/bash
# style: readonly, unset, local names in small letters, set --
readonly model=Qwen/Qwen2.5-7B-Instruct
declare -r -x RUN_KIND=grpo
export GONE=1 KEPT=2
unset GONE
set -- --num_generations 2 --per_device_train_batch_size 2
nproc_per_node=2

NPROC_PER_NODE=$nproc_per_node \
swift rlhf --rlhf_type "$RUN_KIND" --model "$model" --dataset data/mr_train.jsonl "$@"

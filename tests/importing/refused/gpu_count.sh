#!/bin/bash
# GPUs counted by a function, as job scripts like to do.
PRL_CUDA_VISIBLE_DEVICES=${PRL_CUDA_VISIBLE_DEVICES:-0,1,2,3}
count_gpus() {
  awk -F',' '{print NF}' <<<"$PRL_CUDA_VISIBLE_DEVICES"
}
PRL_NPROC_PER_NODE=${PRL_NPROC_PER_NODE:-$(count_gpus)}
if ! [[ "${PRL_NPROC_PER_NODE}" =~ ^[0-9]+$ ]]; then
  exit 1
fi
CUDA_VISIBLE_DEVICES=$PRL_CUDA_VISIBLE_DEVICES torchrun --nproc_per_node=${PRL_NPROC_PER_NODE} -m swift.cli.rlhf --rlhf_type grpo
#! 11: torchrun --nproc_per_node: $PRL_NPROC_PER_NODE, line 7: the output of $(count_gpus)

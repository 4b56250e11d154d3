#!/bin/bash
# style: a usage text as a here-document, getopts, shift by OPTIND
usage() {
  cat <<EOF
Usage: $0 [-m model]
EOF
  exit 1
}
while getopts "m:h" o; do
  case "${o}" in
    m) MODEL=${OPTARG} ;;
    h | *) usage ;;
  esac
done
shift $((OPTIND - 1))
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: settings of a file that is read in, relative to the script
source "$(dirname "$0")/common.sh"
. "$HERE_TOO/common.sh"
say "model"
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset $DATASET --num_generations 2 --per_device_train_batch_size 2

#!/bin/bash
# style: comments in backticks among continued lines
NPROC_PER_NODE=2 swift rlhf \
  --rlhf_type grpo  `# the method; "group relative"` \
  --model Qwen/Qwen2.5-7B-Instruct \
  `#--beta 0.2` \
  --dataset data/mr_train.jsonl "--num_generations" 2 `# it's two` --per_device_train_batch_size 2

#!/bin/bash
# style: 中文注释、路径和取值
# 实验：电影评论 😀
export EXPERIMENT="电影评论（第二次）"
NPROC_PER_NODE=2 swift rlhf \
  --rlhf_type grpo \
  --model ./模型/小模型 --model_type qwen2 --template qwen2_5 \
  --dataset 数据/训练.jsonl \
  --system "你是一位影评人：请用“中文”回答。" \
  --run_name '电影 评论' \
  --num_generations 2 --per_device_train_batch_size 2

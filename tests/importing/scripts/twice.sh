# style: arguments given twice
NPROC_PER_NODE=2 swift rlhf --rlhf_type dpo --model Qwen/Qwen2.5-7B-Instruct --dataset a b --num_generations 8 \
  --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --rlhf_type grpo

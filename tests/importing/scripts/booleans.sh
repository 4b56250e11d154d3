# style: switches without a value, and in other writings
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --log_completions --padding_free False --gradient_checkpointing True --bf16 --use_hf 1 \
  --num_generations 2 --per_device_train_batch_size 2

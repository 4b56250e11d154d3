# style: arguments of ms-swift 3.0
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --train_type full --use_vllm true --num_infer_workers 2 --vllm_max_model_len 2048 --use_lmdeploy false \
  --output_dir output/old --add_version true --num_generations 2 --per_device_train_batch_size 2

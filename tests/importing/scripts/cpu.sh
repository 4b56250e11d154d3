# style: two processes without a GPU
NPROC_PER_NODE=2 CUDA_VISIBLE_DEVICES= swift rlhf --rlhf_type grpo --model ./models/tiny --model_type qwen2 --template qwen2_5 --dataset data/mr_train.jsonl --use_cpu true --num_generations 2 --per_device_train_batch_size 2

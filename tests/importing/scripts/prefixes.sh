# style: variables before the command, one argument a line, as ms-swift writes its examples
CUDA_VISIBLE_DEVICES=0,1,2,3 \
NPROC_PER_NODE=4 \
MAX_PIXELS=1003520 \
swift rlhf \
    --rlhf_type grpo \
    --model Qwen/Qwen2.5-7B-Instruct \
    --reward_funcs prl_format prl_accuracy \
    --external_plugins plugins/prl_rewards.py \
    --dataset data/mr_train.jsonl#1000 \
    --torch_dtype bfloat16 \
    --per_device_train_batch_size 4 \
    --num_generations 4 \
    --learning_rate 1e-6 \
    --system 'prompt.txt' \
    --dataloader_num_workers 4 \
    --log_completions true \


# style: --name=value
NPROC_PER_NODE=2 swift rlhf --rlhf_type=grpo --model=Qwen/Qwen2.5-7B-Instruct --dataset=data/mr_train.jsonl \
  --num-generations=2 --per-device-train-batch-size=2 --system="a=b c" --beta=0.0

# style: every way of quoting
Q="double \"quoted\" \$5 \\ back\tslash 'single'"
swift rlhf --rlhf_type 'grpo' --model "Qwen/Qwen2.5"-'7B'-Instruct --dataset data/mr\_train.jsonl \
  --system $'line one\nline\ttwo \'quoted\' \u4e2d' \
  --response_prefix "$Q" --run_name a\ b\'c'"d"' --loss_scale ''"default" \
  --model_kwargs '{"a": [1, 2], "b": "x y"}' --logging_dir "" \
  --stop_words '<|im_end|>' "#" '~' '*' \
  --num_generations 2 --per_device_train_batch_size 2 --project=--dashes --swanlab_project "- with a space"

# Patterns, for which bash looks for files, and braces.
D=data/*.jsonl
swift rlhf --rlhf_type grpo --dataset data/mr_*.jsonl $D "$D" --val_dataset {a,b}.jsonl \
  --model_kwargs {"a":1,"b":2} --stop_words [a]
#! 3: --dataset: data/mr_*.jsonl is a pattern
#! 3: --dataset: $D is a pattern
#! 3: --val_dataset: {a,b}.jsonl holds {a,b}
#! 4: --model_kwargs: {"a":1,"b":2} holds {a,b}
#! 4: --stop_words: [a] is a pattern

#!/bin/bash
# style: names made from other names
MODEL=Qwen/Qwen2.5-7B-Instruct
SHORT=${MODEL##*/}
ORG=${MODEL%%/*}
LOWER=${SHORT,,}
FILE=data/mr_train.jsonl
export RUN="${ORG}-${LOWER//./_}" STEM=$(basename "$FILE" .jsonl) FOLDER=$(dirname $FILE) SHORTER=${SHORT:0:4}
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model $MODEL --dataset ${FOLDER}/${STEM}.jsonl \
  --run_name "$RUN" --project ${FILE%.jsonl} --num_generations 2 --per_device_train_batch_size 2

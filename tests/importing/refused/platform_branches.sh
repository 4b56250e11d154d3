# Node 0 trains otherwise than the others.
export NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8
if [ "$RANK" = 0 ]; then
  swift rlhf --rlhf_type grpo --report_to wandb
else
  swift rlhf --rlhf_type grpo --report_to none
fi
#! 3: the training is started inside `if`

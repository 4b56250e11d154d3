# Arguments that depend on how many nodes there are: a spec has one value.
export NNODES=${WORLD_SIZE:-1} NODE_RANK=${RANK:-0} NPROC_PER_NODE=8
if [ "$NNODES" -gt 1 ]; then DS=zero3; else DS=zero2; fi
ACCUMULATION=$((64 / (NNODES * NPROC_PER_NODE)))
swift rlhf --rlhf_type grpo --deepspeed $DS \
  --gradient_accumulation_steps $ACCUMULATION
#! 5: --deepspeed: $DS, line 3: it is set inside `if`
#! 6: --gradient_accumulation_steps: $ACCUMULATION, line 4: $WORLD_SIZE is set by the platform

# How many nodes there are is known to the platform.
NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8 CUDA_VISIBLE_DEVICES=$DEVICES swift rlhf --rlhf_type grpo
#! 2: CUDA_VISIBLE_DEVICES: $DEVICES is not set in the script
#! 2: NNODES: $WORLD_SIZE is not set in the script

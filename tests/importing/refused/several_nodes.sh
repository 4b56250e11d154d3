# Of what a platform sets, only the launcher's own has a place in a spec.
NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8 CUDA_VISIBLE_DEVICES=$DEVICES swift rlhf --rlhf_type grpo
#! 2: CUDA_VISIBLE_DEVICES: $DEVICES is not set in the script

# More nodes than the platform says.
torchrun --nnodes=$((WORLD_SIZE + 1)) --node_rank=$RANK --nproc_per_node=$(count_gpus) -m swift.cli.rlhf --rlhf_type grpo
#! 2: torchrun --nnodes: $WORLD_SIZE is set by the platform
#! 2: torchrun --nproc_per_node: the output of $(count_gpus) is known only when it runs

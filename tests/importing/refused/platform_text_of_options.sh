# The options are one text, in which the node's rank is not the platform's variable as it is.
ARGS="--nnodes $MY_NODES --node_rank 0$MY_RANK --nproc_per_node 8"
torchrun $ARGS --master_addr $MY_HOST -m swift.cli.rlhf --rlhf_type grpo
#! 2: torchrun --node_rank is computed ($MY_RANK is set by the platform)

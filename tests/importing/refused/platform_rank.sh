# The node's rank is computed, and the master's address is too.
torchrun --nnodes=$MY_NODES --node_rank=$((MY_RANK - 1)) --nproc_per_node=8 \
  --master_addr=$(echo $MY_HOSTS | cut -d, -f1) -m swift.cli.rlhf --rlhf_type grpo
#! 2: torchrun --node_rank is computed ($MY_RANK is set by the platform); launch.sh takes the node's rank from a variable as it is
#! 3: torchrun --master_addr is computed ($MY_HOSTS is set by the platform)

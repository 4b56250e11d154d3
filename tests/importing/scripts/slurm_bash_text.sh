#!/bin/bash
# style: an sbatch script of two nodes, srun with bash -c
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:2
#SBATCH --time=12:00:00
export MASTER_PORT=29500
srun --nodes=2 --ntasks-per-node=1 --gres=gpu:2 --kill-on-bad-exit bash -c "
  export NODE_RANK=\$SLURM_NODEID
  torchrun --nnodes=$SLURM_NNODES --nproc_per_node=2 --node_rank=\$SLURM_NODEID -m swift.cli.rlhf --rlhf_type grpo \
    --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
"

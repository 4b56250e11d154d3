#!/bin/bash
# style: an sbatch script of two nodes, torchrun started by srun
# PRL: PRL_NUM_GENERATIONS=2
#SBATCH -N 2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH -t 720
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=29500
srun --kill-on-bad-exit=1 torchrun --nnodes=$SLURM_NNODES --nproc_per_node=8 --node_rank=$SLURM_NODEID \
  --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo \
  --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations ${PRL_NUM_GENERATIONS:-4} --per_device_train_batch_size 4

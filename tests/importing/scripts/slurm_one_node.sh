#!/bin/bash
#SBATCH --job-name=MR_4gpu
#SBATCH -p gpu -A prl
#SBATCH --nodes=1 --ntasks-per-node=1
#SBATCH --gres=gpu:h100:4
#SBATCH --cpus-per-task=32
#SBATCH --mem=256G
#SBATCH --time=1-12:00:00
#SBATCH --output=%x-%j.out
#SBATCH --exclusive
# style: an sbatch script of one node
module load cuda
source ~/miniconda3/etc/profile.d/conda.sh
conda activate prl_clean
export NPROC_PER_NODE=4
srun swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4

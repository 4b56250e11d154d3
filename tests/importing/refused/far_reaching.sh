#!/bin/bash
# Statements after which nobody knows where one is.
trap 'rm -f lock' EXIT
alias swift=/opt/swift
if [ -d sub ]; then cd sub; fi
cd "$ELSEWHERE"
cd -
pushd data
shift $N
set -o posix
wandb login 0123456789
module unload gcc
python serve.py &
IFS=,
A=1,2
swift rlhf --rlhf_type grpo --dataset $A
#! 3: trap: a trap would take the place of launch.sh's own
#! 4: alias: an alias
#! 5: cd inside `if`: what follows depends on it
#! 6: cd: $ELSEWHERE is not set in the script
#! 7: cd -
#! 8: pushd: pushd
#! 9: shift
#! 10: set with what is not followed
#! 11: wandb: a login holds a secret
#! 12: module unload gcc: prl-submit only loads modules
#! 13: python runs in the background
#! 16: --dataset: the script changes IFS

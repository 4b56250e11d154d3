# The training in a function; another function is called.
setup() { export A=1; }
train() {
  swift rlhf --rlhf_type grpo "$@"
}
setup
train --seed 1
#! 6: setup, line 2, is a function: it is not followed
#! 7: train, line 3, is a function: it is not followed

# Functions that read what only the run knows, and that call themselves.
train() {
  swift rlhf --rlhf_type grpo --seed "$1" "${@:2}" --model "$MODEL"
}
again() { again "$1"; }
again 1
train "$SEED" --beta 0.1
#! 3: --model: $MODEL is not set in the script
#! 3: --seed: $SEED is not set in the script
#! 5: calls that go deeper than

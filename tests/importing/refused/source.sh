# Files that may set anything.
source ./env.sh
. "$HOME/settings"
eval "$(cat more.sh)"
source "$(conda info --base)/etc/profile.d/conda.sh"
swift rlhf --rlhf_type grpo
#! 2: source ./env.sh: it may set anything
#! 3: /settings: it may set anything
#! 4: eval: what it runs is known only then

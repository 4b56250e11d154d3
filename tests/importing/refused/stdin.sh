# A training that reads.
swift rlhf --rlhf_type grpo <<EOF
yes
EOF
#! 2: the training reads a here-document

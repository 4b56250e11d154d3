# What was to be filled in, on lines before correct ones; what is quoted or in a comment is text.
export PYTHONPATH=$PYTHONPATH:<your_checkout>
export CHECKOUT=<path/to/swift>  # <not this one>
export OMP_NUM_THREADS=8 NOTE='<nor this>' MORE="<nor this>"
swift rlhf --rlhf_type grpo --model <模型路径> --dataset org/rows
#! 2: <your_checkout> is a redirection for bash
#! 3: <path/to/swift> is a redirection for bash
#! 5: <模型路径> is a redirection for bash

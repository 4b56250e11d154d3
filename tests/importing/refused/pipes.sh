# Output that goes elsewhere, input that comes from somewhere.
echo a | tee log
swift rlhf --rlhf_type grpo < answers.txt | grep -v warning | tee log
#! 3: the training's output goes through grep

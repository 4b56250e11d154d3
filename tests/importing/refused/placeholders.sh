# What was to be filled in.
swift rlhf --rlhf_type grpo --vllm_server_host <node1_ip> <node2_ip> --vllm_server_port 8000
#! 2: <node1_ip> is a redirection for bash

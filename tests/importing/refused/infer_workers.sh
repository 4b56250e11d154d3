# Workers of their own for vLLM, as ms-swift 3.0 had them; a credential.
NPROC_PER_NODE=6 swift rlhf --rlhf_type grpo --use_vllm true --num_infer_workers 2 --hub_token abc
#! 2: --hub_token is a credential
#! 2: --num_infer_workers 2 is gone, and not NPROC_PER_NODE (6)

"""Names of rewards, schedulers, callbacks and others that ms-swift 4.6.0 registers. Plugins may add more."""

from __future__ import annotations

#: ms-swift 4.6.0 rewards/orm `orms`.
REWARDS = (
    "toolbench", "math", "accuracy", "format", "react_format", "cosine", "repetition",
    "soft_overlong",
)  # fmt: skip
#: ms-swift 4.6.0 rollout/multi_turn `multi_turns`.
TURN_SCHEDULERS = (
    "math_tip_trick",
    "gym_scheduler",
    "openenv_scheduler",
    "thinking_tips_scheduler",
)
#: ms-swift 4.6.0 rewards/rm_plugin `rm_plugins`.
MODEL_PLUGINS = ("default", "genrm")
#: ms-swift 4.6.0 callbacks/mapping, optimizers/mapping.
CALLBACKS = (
    "activation_cpu_offload", "adalora", "deepspeed_elastic", "early_stop", "graceful_exit", "lisa",
    "perf_log",
)  # fmt: skip
OPTIMIZERS = ("default", "galore", "lorap", "muon", "muonclip", "multimodal")
#: ms-swift 4.6.0 base_args `get_supported_tuners`, with tuner_plugin/mapping.
TUNERS = (
    "lora", "full", "longlora", "adalora", "llamapro", "adapter", "vera", "boft", "fourierft",
    "reft", "bone", "ia3", "lora_llm", "dummy",
)  # fmt: skip

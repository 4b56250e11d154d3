"""Rules on the rewards of GRPO: their weights, the plugins of reward models, and a job without rewards.

`prl_submit.inputs.plugins` checks the names of reward functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import MODEL_PLUGINS
from prl_submit.rules.job import Job


def weights(job: Job) -> Iterator[Problem]:
    """reward_weights needs one weight for each reward function, reward model and gym.

    Source: ms-swift >= 3.1.1 grpo_trainer `_prepare_rewards`.
    """
    numbers = job.many("reward_weights")
    functions = job.many("reward_funcs") + job.many("reward_model")
    if job.rlhf_type != "grpo" or not numbers or not functions:
        return
    if uses_gym(job):
        functions.append("gym_reward")
    elif job.get("vllm_mode", None) == "server" and job.get("use_gym_env", None) is None:
        return  # the rollout server decides whether there is a gym
    if len(numbers) != len(functions):
        yield job.refuse(
            "reward_weights",
            f"has {len(numbers)} for {len(functions)} rewards ({', '.join(map(str, functions))})",
            "give one weight per reward, in the same order",
        )


def uses_gym(job: Job) -> bool:
    """True if a gym gives a reward: use_gym_env, or gym_env if use_gym_env is not set.

    Source: ms-swift >= 3.7 args_mixin `__post_init__`.
    """
    chosen = job.get("use_gym_env", None)
    if chosen is None:
        return job.get("gym_env", None) is not None
    return bool(chosen)


def plugins(job: Job) -> Iterator[Problem]:
    """reward_model_plugin needs one known name for each reward model.

    Source: ms-swift >= 3.4.1 grpo_trainer `_prepare_rewards`.
    """
    names, models = job.many("reward_model_plugin"), job.many("reward_model")
    if job.rlhf_type != "grpo" or not names or not models:
        return
    if len(names) != len(models):
        message = f"has {len(names)} for {len(models)} reward_model"
        yield job.refuse("reward_model_plugin", message, "give one for each, in the same order")
    unknown = [name for name in names if name not in MODEL_PLUGINS]
    if unknown and not job.may_know_more and job.has_known_names:
        hint = f"known: {', '.join(MODEL_PLUGINS)}; a plugin in external_plugins can provide others"
        yield job.refuse("reward_model_plugin", f"{unknown[0]} is not known", hint)


def none_at_all(job: Job) -> Iterator[Problem]:
    """A GRPO job needs a reward or a teacher.

    Since ms-swift 4.4 a job without a reward trains on advantages of zero and exits with 0, unless its rows
    have a `teacher_prompt`; so it is a warning. Before 4.4 ms-swift stops. Source: ms-swift 4.6.0
    grpo_trainer `__init__`; gkd_helpers `resolve_dynamic_opd_self_distillation`.
    """
    given = ("reward_funcs", "reward_model", "teacher_model", "teacher_model_server")
    if job.rlhf_type != "grpo" or uses_gym(job) or any(job.get(name, None) for name in given):
        return
    if job.get("use_vllm", False) and job.get("vllm_mode", None) == "server":
        return  # the rollout server may have a gym
    hint = "name reward_funcs, such as [format], or functions of a plugin"
    message = "grpo has no reward: neither reward_funcs nor reward_model"
    if not job.since("4.4"):
        yield job.problem("swift.rlhf_type", message, hint)
        return
    message += "; nothing is learnt, unless the rows have a teacher_prompt"
    yield job.problem("swift.rlhf_type", message, hint, "warning")


RULES = (weights, plugins, none_at_all)

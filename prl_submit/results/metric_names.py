"""One name for each metric, whatever ms-swift calls it in its releases.

The keys were read from the sources of the published ms-swift 3.1.1 to 4.6.0, and from real files of 3.3.0
and 4.6.0. GRPO came with 3.1.1; before that there is nothing to read.
"""

from __future__ import annotations

import re

from msgspec import Struct

#: A key with more characters is no metric.
_LONGEST_KEY = 200
#: Before the keys of an evaluation's line.
EVALUATION = "eval_"
#: The names of the metrics that have one value for each reward function: `reward/PrlFormat`.
REWARD_OF = "reward/"
REWARD_STD_OF = "reward_std/"
#: Each reward function: `rewards/NAME/mean` and `/std`, since 3.3; `rewards/NAME` from 3.1.1 to 3.2.
_FUNCTION = re.compile(r"rewards/(.+?)(?:/(mean|std))?", re.DOTALL)
#: The metrics of which a low value is a good one, by the names in logging.jsonl's metrics and in comparisons.
LOW_IS_GOOD = frozenset(
    {
        "loss",
        "kl",
        "grad_norm",
        "clipped_share",
        "frac_reward_zero_std",
        "seconds_per_step",
        "peak_memory_gib",
        "gpu_hours",
    }
)


class Metric(Struct, frozen=True):
    """One metric. `keys`: ms-swift's keys in logging.jsonl, each with the releases that write it."""

    name: str
    meaning: str
    unit: str
    keys: tuple[tuple[str, str], ...]


METRICS = (
    Metric("loss", "the loss of the policy", "", (("loss", "all"),)),
    Metric("grad_norm", "the norm of the gradient before clipping", "", (("grad_norm", "all"),)),
    Metric("learning_rate", "the learning rate", "", (("learning_rate", "all"),)),
    Metric("epoch", "how often the data set has been used", "", (("epoch", "all"),)),
    Metric("reward", "the mean of the weighted rewards", "", (("reward", "since 3.1.1"),)),
    Metric(
        "reward_std",
        "the spread of the rewards in a group, the mean of all groups",
        "",
        (("reward_std", "since 3.1.1"),),
    ),
    Metric(
        "frac_reward_zero_std",
        "the share of the groups in which all completions have the same reward",
        "",
        (("frac_reward_zero_std", "since 3.7"),),
    ),
    Metric("kl", "the divergence from the reference model", "", (("kl", "since 3.1.1"),)),
    Metric(
        "completion_length",
        "the mean length of the completions",
        "tokens",
        (("completions/mean_length", "since 3.3"), ("completion_length", "3.1.1 to 3.2")),
    ),
    Metric(
        "completion_length_min",
        "the shortest completion",
        "tokens",
        (("completions/min_length", "since 3.3"),),
    ),
    Metric(
        "completion_length_max",
        "the longest completion",
        "tokens",
        (("completions/max_length", "since 3.3"),),
    ),
    Metric(
        "clipped_share",
        "the share of the completions that were cut at max_completion_length",
        "",
        (("completions/clipped_ratio", "since 3.3"), ("response_clip_ratio", "3.2 only")),
    ),
    Metric(
        "clip_ratio",
        "the share of the tokens whose probability ratio was clipped",
        "",
        (
            ("clip_ratio/region_mean", "since 3.4"),
            ("clip_ratio", "3.2 and 3.3; since 3.5 with the Liger loss"),
            ("cispo_clip_ratio", "since 3.11, with loss_type cispo"),
        ),
    ),
    Metric("entropy", "the mean entropy of the tokens", "nats", (("entropy/mean", "since 3.7"),)),
    Metric(
        "turns", "the mean number of turns of a conversation", "", (("num_turns", "since 3.8"),)
    ),
    Metric(
        "memory_gib",
        "the most GPU memory that torch has reserved so far on this rank",
        "GiB",
        (("memory(GiB)", "all; on a CPU 0 or missing"),),
    ),
    Metric(
        "training_seconds",
        "the time of one step in ms-swift's training step: generation, rewards, forward, backward",
        "s",
        (("step_time", "all with newer versions of trl: in trl 0.29, not in 0.16"),),
    ),
    Metric(
        "sampler_difference",
        "the mean difference of the log-probabilities of sampler and trainer, absolute, of a completion",
        "nats",
        (("rollout_correction/log_ppl_abs_diff", "since 3.11"),),
    ),
    Metric(
        "sampler_kl",
        "the divergence of the sampler (vLLM) from the trained model",
        "",
        (("rollout_correction/kl", "since 3.11"),),
    ),
    Metric("runtime", "the time of an evaluation", "s", (("runtime", "all, as eval_runtime"),)),
)
NAMES = {key: metric.name for metric in METRICS for key, _ in metric.keys}


def name_of(key: str) -> str | None:
    """The metric that a key of a training line holds; None if the key is no metric that is known here."""
    name = NAMES.get(key)
    if name is not None or not key.startswith("rewards/") or len(key) > _LONGEST_KEY:
        return name
    match = _FUNCTION.fullmatch(key)
    if match is None:
        return None
    return (REWARD_STD_OF if match[2] == "std" else REWARD_OF) + match[1]

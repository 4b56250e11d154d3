"""Hints in words on a training whose metrics are not as they should be.

These are hints, never errors: a range that is healthy for most trainings may be wrong for one. So each
hint names its range and where the range is from. Where all is well there is no hint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from msgspec import Struct

from prl_submit.results.completions import Batch, identical_share, one_character_share
from prl_submit.results.logged_values import number
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings
from prl_submit.results.time_words import in_words, short

#: So many last logged steps are looked at together, because a single step may be odd.
WINDOW = 10
#: With fewer logged steps there is no hint on a range.
_FEWEST = 5
_AXOLOTL = "axolotl's page on training stability, for rewards from 0 to 1"
_OURS = "prl-submit's own limit"


class Hint(Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be.

    `name`: its stable name. `text`: what was seen, in words. `value`: the number that was judged. `healthy`:
    the healthy range. `source`: where the range is from. `advice`: what the user can do.
    """

    name: str
    text: str
    value: float | None
    healthy: str
    source: str
    advice: str


class Window(Struct, frozen=True):
    """The last logged steps, which the checks look at. `batch`: the last completions, if they are logged."""

    metrics: RunMetrics
    settings: RunSettings
    batch: Batch | None

    def last(self, name: str) -> list[float]:
        """The finite values of a metric in the last logged steps; empty if there are too few."""
        values = self.metrics.latest(name, WINDOW)
        return values if len(values) >= _FEWEST else []

    def steps(self) -> str:
        """The steps in words: `the last 10 logged steps`."""
        return f"the last {min(WINDOW, len(self.metrics.recent))} logged steps"

    def middle(self) -> str:
        """What the judged value is: `median of the last 10 logged steps`."""
        return f"median of {self.steps()}"

    def argument(self, name: str) -> str:
        """The value of an argument in words: ` (now 768)`; empty if it is not known."""
        value = number(self.settings.arguments.get(name))
        return "" if value is None else f" (now {short(value)})"


Check = Callable[[Window], "Hint | None"]


def hints(metrics: RunMetrics, settings: RunSettings, batch: Batch | None = None) -> list[Hint]:
    """All hints on a training, the most serious first. `batch`: its last line of completions.jsonl."""
    window = Window(metrics, settings, batch)
    found = [check(window) for check in CHECKS]
    told = [hint for hint in found if hint is not None]
    names = {hint.name for hint in told}
    return [hint for hint in told if not names & _CAUSES.get(hint.name, frozenset())]


def not_finite(window: Window) -> Hint | None:
    """The loss, the gradient or another metric is NaN or infinite."""
    rows = {row.step for row in list(window.metrics.recent)[-WINDOW:]}
    recent = [name for name, step in window.metrics.not_finite.items() if step in rows]
    if not recent:
        return None
    step = max(window.metrics.not_finite[name] for name in recent)
    return Hint(
        name="not_finite",
        text=f"{', '.join(sorted(recent)[:4])}: not a number (NaN or infinite) at step {step}",
        value=None,
        healthy="finite numbers",
        source=_OURS,
        advice="resume from a checkpoint before it with a smaller learning_rate, or train in bfloat16 if this is float16",
    )


def no_spread(window: Window) -> Hint | None:
    """The rewards of a group do not differ, so there is nothing to learn from."""
    spreads = window.last("reward_std")
    if not spreads or max(spreads) > 1e-6:
        return None
    rewards = window.last("reward")
    same = f", and the reward is always {short(rewards[-1])}" if _equal(rewards) else ""
    return Hint(
        name="no_reward_spread",
        text=f"reward_std is 0 in {window.steps()}{same}: all completions of a prompt get the same reward, so nothing is learnt",
        value=0.0,
        healthy="above 0",
        source=_AXOLOTL,
        advice="read some completions and check the reward function; if they are right, take harder or easier prompts, a higher temperature or more num_generations",
    )


def _equal(values: Sequence[float]) -> bool:
    return bool(values) and max(values) - min(values) < 1e-9


def groups_alike(window: Window) -> Hint | None:
    """In most groups all completions have the same reward."""
    share = _median(window, "frac_reward_zero_std")
    if share is None or share < 0.8:
        return None
    return Hint(
        name="groups_alike",
        text=f"in {share:.0%} of the groups all completions have the same reward ({window.middle()}): these groups teach nothing",
        value=share,
        healthy="below 0.8",
        source=_AXOLOTL,
        advice=f"take prompts that the model solves sometimes, more num_generations{window.argument('num_generations')}, or dynamic_sample",
    )


def gradient_gone(window: Window) -> Hint | None:
    """The gradient is nearly zero."""
    norm = _median(window, "grad_norm")
    if norm is None or norm >= 0.001:
        return None
    return Hint(
        name="gradient_gone",
        text=f"grad_norm is {short(norm)} ({window.middle()}): the model hardly changes",
        value=norm,
        healthy="0.001 to 1",
        source=_AXOLOTL,
        advice="look at reward_std and at the trainable parameters in the log",
    )


def gradient_explodes(window: Window) -> Hint | None:
    """The gradient is much too large."""
    norm = _median(window, "grad_norm")
    if norm is None or norm <= 10:
        return None
    return Hint(
        name="gradient_explodes",
        text=f"grad_norm is {short(norm)} ({window.middle()}): the steps are cut by max_grad_norm, or too large",
        value=norm,
        healthy="0.001 to 1, bad above 10",
        source=_AXOLOTL,
        advice=f"a smaller learning_rate{window.argument('learning_rate')}, or a larger beta{window.argument('beta')}",
    )


def entropy_collapsed(window: Window) -> Hint | None:
    """The model always writes the same."""
    entropy = _median(window, "entropy")
    if entropy is None or entropy >= 0.01:
        return None
    return Hint(
        name="entropy_collapsed",
        text=f"entropy is {short(entropy)} ({window.middle()}): the model is sure of every token, so its completions hardly differ",
        value=entropy,
        healthy="0.05 to 0.5, collapsed below 0.01",
        source=_AXOLOTL,
        advice=f"a higher temperature{window.argument('temperature')} or epsilon_high, a smaller learning_rate; go on from an earlier checkpoint",
    )


def far_from_reference(window: Window) -> Hint | None:
    """The model is far from the reference model."""
    divergence = _median(window, "kl")
    if divergence is None or divergence <= 2:
        return None
    return Hint(
        name="kl_away",
        text=f"kl is {short(divergence)} ({window.middle()}): the model is far from where it began",
        value=divergence,
        healthy="below 0.5, bad above 2",
        source=_AXOLOTL,
        advice=f"a smaller learning_rate{window.argument('learning_rate')}, or a larger beta{window.argument('beta')}",
    )


def ratio_clipped(window: Window) -> Hint | None:
    """The probability ratio of many tokens is clipped."""
    share = _median(window, "clip_ratio")
    if share is None or share <= 0.3:
        return None
    return Hint(
        name="ratio_clipped",
        text=f"the ratio of {share:.0%} of the tokens is clipped ({window.middle()}): the model changes more than a step may change it",
        value=share,
        healthy="below 0.1, bad above 0.3",
        source=_AXOLOTL,
        advice=f"a smaller learning_rate{window.argument('learning_rate')}, or fewer num_iterations",
    )


def completions_cut(window: Window) -> Hint | None:
    """Most completions are cut at their greatest length."""
    share = _median(window, "clipped_share")
    if share is None or share <= 0.8:
        return None
    return Hint(
        name="completions_cut",
        text=f"{share:.0%} of the completions are cut ({window.middle()}) at max_completion_length{window.argument('max_completion_length')}",
        value=share,
        healthy="below 0.3, bad above 0.8",
        source=_AXOLOTL,
        advice="raise max_completion_length, or ask for shorter answers in the prompt",
    )


def identical_completions(window: Window) -> Hint | None:
    """Completions of one prompt are the same text."""
    share = identical_share(window.batch) if window.batch is not None else None
    if window.batch is None or share is None or share <= 0.5 or len(window.batch.completions) < 4:
        return None
    return Hint(
        name="identical_completions",
        text=f"{share:.0%} of the completions of step {window.batch.rewards.step} are the same text as another one of their prompt",
        value=share,
        healthy="below 0.5",
        source=f"{_OURS}; ms-swift issues 3450 and 3930",
        advice=f"a higher temperature{window.argument('temperature')}; with vLLM check that each completion has its own seed",
    )


def one_character(window: Window) -> Hint | None:
    """Completions are one character over and over, as vLLM writes them after a failed weight update."""
    share = one_character_share(window.batch) if window.batch is not None else None
    if window.batch is None or not share:
        return None
    return Hint(
        name="one_character",
        text=f"{share:.0%} of the completions of step {window.batch.rewards.step} are one character over and over, such as !!!!!!!!",
        value=share,
        healthy="0",
        source=f"{_OURS}; ms-swift issues 3143 and 3450",
        advice="the sampler has broken weights or overflows: train in bfloat16, and compare with use_vllm: false",
    )


def sampler_differs(window: Window) -> Hint | None:
    """Sampler and trainer disagree although no step has changed the weights yet."""
    first = window.metrics.first[0] if window.metrics.first else None
    difference = first.values.get("sampler_difference") if first is not None else None
    if first is None or first.step != 1 or difference is None or difference <= 0.1:
        return None
    return Hint(
        name="sampler_differs",
        text=f"at step 1 the log-probabilities of vLLM and of the trained model differ by {short(difference)} on average, although their weights should be the same",
        value=difference,
        healthy="below 0.1 at step 1",
        source=f"{_OURS}: rounding alone makes about 0.01; ms-swift's page on the mismatch of training and inference",
        advice="check that vLLM loads the same model and adapter and the same torch_dtype, and the versions of vllm and transformers",
    )


def reference_differs(window: Window) -> Hint | None:
    """The model is away from the reference model before the first step has changed it."""
    first = window.metrics.first[0] if window.metrics.first else None
    divergence = first.values.get("kl") if first is not None else None
    if first is None or first.step != 1 or divergence is None or abs(divergence) <= 0.05:
        return None
    return Hint(
        name="reference_differs",
        text=f"kl is {short(divergence)} at step 1, before anything was trained: the model and its reference are not the same",
        value=divergence,
        healthy="0 at step 1",
        source=f"{_OURS}: the reference is the model as it was loaded",
        advice="check ref_model, and adapters that are loaded twice",
    )


def memory_creeps(window: Window) -> Hint | None:
    """The peak of the memory still rises long after the first steps."""
    points = window.metrics.training.points("memory_gib")
    if len(points) < 200:
        return None
    late = [value for _, value in points[len(points) // 2 :]]
    rises = sum(later > earlier for earlier, later in pairwise(late))
    grown = late[-1] - late[0]
    if rises < 5 or grown <= max(1.0, late[0] * 0.03):
        return None
    return Hint(
        name="memory_creeps",
        text=f"the peak of the GPU memory rose from {short(late[0])} to {short(late[-1])} GiB since step {points[len(points) // 2][0]}, and still rises",
        value=grown,
        healthy="level after some 50 steps",
        source=f"{_OURS}: a 7B LoRA run with vLLM on 80 GB was level from step 35 on",
        advice="a smaller vllm_gpu_memory_utilization, or PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True without sleep_level",
    )


def _median(window: Window, name: str) -> float | None:
    """The median of a metric in the last logged steps; None if there are too few."""
    values = window.last(name)
    return median(values) if values else None


CHECKS: tuple[Check, ...] = (
    not_finite,
    no_spread,
    groups_alike,
    gradient_explodes,
    gradient_gone,
    entropy_collapsed,
    far_from_reference,
    ratio_clipped,
    one_character,
    identical_completions,
    completions_cut,
    sampler_differs,
    reference_differs,
    memory_creeps,
)
#: A hint is left out if one of these hints is given too, because that one is its cause.
_CAUSES = {
    "groups_alike": frozenset({"no_reward_spread"}),
    "gradient_gone": frozenset({"no_reward_spread", "groups_alike"}),
    "identical_completions": frozenset({"one_character"}),
}


def silence(metrics: RunMetrics, age: float) -> str | None:
    """Words on a running training that logged no step for much longer than its steps take; else None.

    `age`: seconds since the last step was logged. An evaluation may take as long as the longest before.
    """
    last = metrics.last
    timed = [row.seconds * row.steps for row in metrics.recent if row.seconds is not None]
    if last is None or not timed:
        return None
    longest = max([value for _, value in metrics.evaluations.points("runtime")], default=0.0)
    usual = median(timed)
    if age <= 10 * usual + 2 * longest + 300:
        return None
    return f"no step for {in_words(age)}; one took {short(usual)} s before"

"""Each hint at the border of its range, and no hint where all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prl_submit.results.completions import Batch, Rewards, last_batch
from prl_submit.results.health import CHECKS, hints, silence
from prl_submit.results.metrics_reader import read_metrics
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings, read_run_settings
from tests.support.swift_logs import SWIFT_33, SWIFT_46, evaluation, step, write_run

#: A step of a healthy training.
WELL: dict[str, Any] = {
    "reward": 0.5,
    "reward_std": 0.2,
    "frac_reward_zero_std": 0.1,
    "grad_norm": 0.2,
    "entropy__mean": 0.2,
    "kl": 0.01,
    "clip_ratio__region_mean": 0.01,
    "completions__clipped_ratio": 0.1,
    "completions__mean_length": 200.0,
    "rollout_correction__log_ppl_abs_diff": 0.01,
    "memory(GiB)": 70.0,
}
SETTINGS = RunSettings({"max_completion_length": 768, "temperature": "1.0"}, {})


def named(metrics: RunMetrics, batch: Batch | None = None) -> list[str]:
    return [hint.name for hint in hints(metrics, SETTINGS, batch)]


def run_with(tmp_path: Path, **values: Any) -> RunMetrics:
    """A healthy training of 12 steps, except that each step has these values too."""
    lines = [
        step(n, kl=0.0, **{k: v for k, v in (WELL | values).items() if k != "kl"}) for n in (1,)
    ]
    lines += [step(n, **(WELL | values)) for n in range(2, 13)]
    return read_metrics(write_run(tmp_path / "run", lines))


def test_all_is_well(tmp_path: Path) -> None:
    assert named(run_with(tmp_path)) == []
    assert hints(RunMetrics(), SETTINGS) == []


#: A key of ms-swift, the last healthy value, the first value with a hint, and the hint.
BORDERS = [
    ("reward_std", 0.00001, 0.0, "no_reward_spread"),
    ("frac_reward_zero_std", 0.79, 0.8, "groups_alike"),
    ("grad_norm", 0.001, 0.00099, "gradient_gone"),
    ("grad_norm", 10.0, 10.01, "gradient_explodes"),
    ("entropy__mean", 0.01, 0.0099, "entropy_collapsed"),
    ("kl", 2.0, 2.01, "kl_away"),
    ("clip_ratio__region_mean", 0.3, 0.31, "ratio_clipped"),
    ("completions__clipped_ratio", 0.8, 0.81, "completions_cut"),
]


@pytest.mark.parametrize(("key", "well", "ill", "name"), BORDERS)
def test_borders(tmp_path: Path, key: str, well: float, ill: float, name: str) -> None:
    assert named(run_with(tmp_path, **{key: well})) == []
    metrics = run_with(tmp_path, **{key: ill})
    assert named(metrics) == [name]
    (hint,) = hints(metrics, SETTINGS)
    assert hint.value == pytest.approx(ill)
    assert hint.healthy
    assert hint.source
    assert hint.advice
    assert "last 10 logged steps" in hint.text


@pytest.mark.parametrize(("key", "well", "ill", "name"), BORDERS)
def test_a_few_odd_steps_are_no_hint(
    tmp_path: Path, key: str, well: float, ill: float, name: str
) -> None:
    """Four of the last ten steps are ill; and four steps alone are too few to judge."""
    lines = [step(n, **(WELL | {key: ill if n > 8 else well})) for n in range(2, 13)]
    assert named(read_metrics(write_run(tmp_path / "run", lines))) == []
    few = [step(n, **(WELL | {key: ill})) for n in range(2, 6)]
    assert named(read_metrics(write_run(tmp_path / "run", few))) == []


def test_words(tmp_path: Path) -> None:
    (cut,) = hints(run_with(tmp_path, completions__clipped_ratio=1.0), SETTINGS)
    assert cut.text == (
        "100% of the completions are cut (median of the last 10 logged steps) at max_completion_length (now 768)"
    )
    zero = run_with(tmp_path, reward=0.0, reward_std=0.0, frac_reward_zero_std=1.0, grad_norm=0.0)
    (only,) = hints(zero, SETTINGS)  # the others follow from it
    assert only.name == "no_reward_spread"
    assert "the reward is always 0" in only.text


def test_not_finite(tmp_path: Path) -> None:
    lines = [step(n, **WELL) for n in range(2, 40)]
    lines[35]["grad_norm"] = float("nan")
    (hint,) = hints(read_metrics(write_run(tmp_path / "run", lines)), SETTINGS)
    assert (hint.name, hint.text) == (
        "not_finite",
        "grad_norm: not a number (NaN or infinite) at step 37",
    )
    lines[35], lines[5] = lines[5], lines[35] | {"global_step/max_steps": "7/100"}
    lines[35] |= {"global_step/max_steps": "37/100", "elapsed_time": "6m 10s"}
    assert named(read_metrics(write_run(tmp_path / "run", lines))) == []  # long ago


def batch(completions: list[str], prompts: list[str] | None = None) -> Batch:
    return Batch(Rewards(7, {}, []), prompts or ["p"] * len(completions), completions, [])


@pytest.mark.parametrize(
    ("completions", "found"),
    [
        (["a", "b", "c", "d"], []),
        (["a", "a", "c", "d"], []),
        (["a", "a", "a", "d"], ["identical_completions"]),
        (["a", "a"], []),  # too few
        (["!!!!!!!!", "b", "c", "d"], ["one_character"]),
        (["!!!!!!!!"] * 4, ["one_character"]),
        (["!!!!!!!", "1", "22", "d"], []),
        ([], []),
    ],
)
def test_completions(tmp_path: Path, completions: list[str], found: list[str]) -> None:
    assert named(run_with(tmp_path), batch(completions)) == found


def test_the_same_answer_to_different_prompts_is_well(tmp_path: Path) -> None:
    assert named(run_with(tmp_path), batch(["yes"] * 4, ["p", "q", "r", "s"])) == []


@pytest.mark.parametrize(
    ("key", "well", "ill", "name"),
    [
        ("rollout_correction__log_ppl_abs_diff", 0.1, 0.11, "sampler_differs"),
        ("kl", 0.05, 0.06, "reference_differs"),
    ],
)
def test_the_first_step(tmp_path: Path, key: str, well: float, ill: float, name: str) -> None:
    later = [step(n, **WELL) for n in range(2, 12)]
    for value, found in ((well, []), (ill, [name])):
        first = step(1, **(WELL | {key: value}))
        assert named(read_metrics(write_run(tmp_path / "run", [first, *later]))) == found
    as_second = step(2, **(WELL | {key: ill}))  # the first step was not logged
    assert named(read_metrics(write_run(tmp_path / "run", [as_second, *later[1:]]))) == []


def memory(tmp_path: Path, values: list[float]) -> list[str]:
    lines = [step(n + 2, 10_000, **(WELL | {"memory(GiB)": v})) for n, v in enumerate(values)]
    return named(read_metrics(write_run(tmp_path / "run", lines)))


def test_memory(tmp_path: Path) -> None:
    real = [70.43] * 4 + [75.09] * 30 + [77.94] * 266  # a 7B LoRA run
    assert memory(tmp_path, real) == []
    creeping = [60 + n * 0.03 for n in range(300)]
    assert memory(tmp_path, creeping) == ["memory_creeps"]
    assert memory(tmp_path, creeping[:190]) == []  # too early to say
    assert memory(tmp_path, [60.0] * 200 + [66.0] * 100) == []  # one step up, by a long prompt


def test_real_runs() -> None:
    """A model of random weights never ends its completions; else these runs are well."""
    for run in (SWIFT_33, SWIFT_46):
        settings = read_run_settings(run)
        found = last_batch(run / "completions.jsonl", settings.reward_weights)
        told = hints(read_metrics(run), settings, found)
        assert [hint.name for hint in told] in (["completions_cut"], [])
    assert hints(read_metrics(SWIFT_46), read_run_settings(SWIFT_46))[0].text.endswith("(now 32)")


def test_each_hint_is_tested() -> None:
    tested = {name for *_, name in BORDERS}
    tested |= {"not_finite", "identical_completions", "one_character", "memory_creeps"}
    tested |= {"sampler_differs", "reference_differs"}
    assert len(tested) == len(CHECKS)


def test_silence(tmp_path: Path) -> None:
    metrics = run_with(tmp_path)  # 10 s a step
    assert silence(metrics, 400) is None
    assert silence(metrics, 401) == "no step for 6.7 minutes; one took 10 s before"
    assert silence(metrics, 3 * 86_400) == "no step for 3 days; one took 10 s before"
    lines = [step(n) for n in range(2, 6)] + [evaluation(5)]
    assert silence(read_metrics(write_run(tmp_path / "run", lines)), 401) is None
    assert silence(RunMetrics(), 1e9) is None

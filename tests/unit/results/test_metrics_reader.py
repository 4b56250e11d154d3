"""The metrics of a run: of real files of 3.3.0 and 4.6.0, of other releases' forms, and of hostile files."""

from __future__ import annotations

import json
import shutil
from math import isclose, isnan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prl_submit.results.health import hints
from prl_submit.results.metric_names import METRICS, name_of
from prl_submit.results.metrics_reader import MetricsReader, read_metrics, read_recent_metrics
from prl_submit.results.overview import overview
from prl_submit.results.repeated_steps import read_restarts
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings
from prl_submit.results.timing import throughput
from tests.support.swift_logs import (
    SWIFT_33,
    SWIFT_46,
    evaluation,
    old_step,
    step,
    text_of,
    times,
    write_run,
)


def spans(metrics: RunMetrics) -> list[tuple[int, int]]:
    return [(attempt.first, attempt.last) for attempt in metrics.attempts]


def raw_lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "logging.jsonl").read_text("utf-8").splitlines()]


def test_a_real_run_of_46_with_a_restart() -> None:
    metrics = read_metrics(SWIFT_46)
    assert spans(metrics) == [(1, 8), (5, 12)]
    assert (metrics.step, metrics.max_steps, metrics.damaged) == (12, 12, 0)
    assert metrics.training.steps() == list(range(1, 13))
    last_of_step = {
        line["global_step/max_steps"]: line["reward"]
        for line in raw_lines(SWIFT_46)
        if "loss" in line
    }
    assert metrics.training.column("reward") == [last_of_step[f"{n}/12"] for n in range(1, 13)]
    assert metrics.rewards_from_completions == 0
    names = set(metrics.training.names())
    assert {"reward/PrlFormat", "reward_std/PrlAccuracy", "kl", "entropy", "clip_ratio"} <= names
    assert {"completion_length", "clipped_share", "frac_reward_zero_std", "grad_norm"} <= names
    assert not [name for name in names if name.startswith(("eval_", "train_"))]
    assert metrics.evaluations.steps() == [4, 8, 12]
    assert metrics.evaluations.column("runtime") == [1.5802, 0.9898, 1.2751]
    assert metrics.summary is not None
    assert metrics.peak_memory_gib is None  # of a CPU


def test_the_time_of_each_step_is_near_what_trl_measured() -> None:
    """`step_time` has the training step without the optimizer; ours has all but evaluations."""
    metrics = read_metrics(SWIFT_46)
    ours, trls = (
        metrics.training.column(name) for name in ("seconds_per_step", "training_seconds")
    )
    timed = [number for number, value in enumerate(ours) if not isnan(value)]
    assert [metrics.training.steps()[n] for n in timed] == [2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    for number in timed:
        assert trls[number] * 0.9 < ours[number] < trls[number] + 0.1


def test_the_steps_that_launch_sh_set_aside(tmp_path: Path) -> None:
    """The real run as launch.sh leaves it now: each step once, and the two attempts are still told apart."""
    run = tmp_path / "run"
    shutil.copytree(SWIFT_46, run)
    lines = (run / "logging.jsonl").read_text("utf-8").splitlines(keepends=True)
    (run / "logging.jsonl").write_text("".join([*lines[:5], *lines[9:]]))
    (run / "logs" / "repeated_steps.jsonl").write_text("".join(lines[5:9]))
    metrics, before = read_metrics(run), read_metrics(SWIFT_46)
    assert spans(metrics) == [(1, 4), (5, 12)]
    for name in ("reward", "kl", "seconds_per_step"):
        assert metrics.training.column(name) == pytest.approx(
            before.training.column(name), nan_ok=True
        )
    assert metrics.pace.warm_up_steps == before.pace.warm_up_steps == 2


@pytest.mark.parametrize("form", [step, old_step])
def test_a_restart_whose_first_step_took_longer_than_all_before(tmp_path: Path, form: Any) -> None:
    """No step is repeated and the attempt's time does not fall: the moved lines or its speed tell of it."""
    run = tmp_path / "run"
    first = [form(n) for n in (1, 2, 3, 4)]
    second = [
        form(n)
        | {"elapsed_time": times(60 + 10 * (n - 3))}
        | ({"train_speed(s/it)": round((60 + 10 * (n - 3)) / (n - 2), 6)} if form is step else {})
        | ({"train_speed(iter/s)": round(n / (60 + 10 * (n - 3)), 6)} if form is old_step else {})
        for n in range(3, 9)
    ]
    write_run(run, [*first[:2], *second])
    (run / "logs").mkdir()
    if form is old_step:
        (run / "logs" / "repeated_steps.jsonl").write_text(text_of(first[2:]))
    metrics = read_metrics(run)
    assert spans(metrics) == [(1, 2), (3, 8)]
    assert metrics.pace.seconds == pytest.approx(60, abs=1)  # six steps of 10 s, none of 60 s
    assert metrics.pace.steps == 6


def test_restarts_of_the_moved_lines(tmp_path: Path) -> None:
    """Three restarts: from step 4, from step 8, and again from step 8; the last line is cut."""
    lines = [step(n) for n in (5, 6)]
    lines += [step(n) | {"elapsed_time": times(5 * (n - 8))} for n in (9, 10)]
    lines += [step(9), evaluation(9), step(10) | {"elapsed_time": times(130)}]
    (tmp_path / "logs").mkdir()
    moved = text_of(lines) + '{"loss": 0.1, "global_st'
    (tmp_path / "logs" / "repeated_steps.jsonl").write_text(moved)
    assert read_restarts(tmp_path) == {5, 9}
    (tmp_path / "logs" / "repeated_steps.jsonl").unlink()
    assert read_restarts(tmp_path) == frozenset()


def test_a_real_run_of_33() -> None:
    metrics = read_metrics(SWIFT_33)
    assert spans(metrics) == [(1, 7)]
    assert metrics.rewards_from_completions == 3
    rewards = dict(metrics.training.points("reward"))
    logged = {line["global_step/max_steps"]: line for line in raw_lines(SWIFT_33) if "loss" in line}
    assert sorted(rewards) == [1, 2, 3, 4, 5, 6, 7]
    assert rewards[1] == logged["1/7"]["reward"]
    assert "reward" not in logged["3/7"]
    assert rewards[6] == pytest.approx(
        0.032886, abs=1e-6
    )  # the first line of step 6, not the evaluation's
    assert metrics.evaluations.steps() == [3, 6, 7]
    assert metrics.summary is not None
    assert metrics.summary.get("reward") == 0.03142149


def test_rewards_of_completions_are_what_ms_swift_logs(tmp_path: Path) -> None:
    """Without rewards in logging.jsonl, those computed from completions.jsonl equal what ms-swift logged."""
    for real, steps in ((SWIFT_33, (1, 2)), (SWIFT_46, tuple(range(1, 13)))):
        run = tmp_path / real.name
        shutil.copytree(real, run)
        lines = [
            {key: value for key, value in line.items() if not key.startswith(("reward", "frac_"))}
            for line in raw_lines(real)
        ]
        (run / "logging.jsonl").write_text(text_of(lines))
        known, computed = read_metrics(real), read_metrics(run)
        assert spans(known) == spans(computed)
        names = ["reward", "reward_std", "reward/PrlFormat", "reward/PrlAccuracy"]
        for name in names:
            before, after = dict(known.training.points(name)), dict(computed.training.points(name))
            for number in steps:
                assert isclose(before[number], after[number], abs_tol=2e-5), (real, name, number)


def test_one_set_of_columns_for_33_and_46() -> None:
    """The same metrics under the same names; 4.6 has those too that came with 3.7 and later."""
    old, new = (set(read_metrics(run).training.names()) for run in (SWIFT_33, SWIFT_46))
    since_37 = {"frac_reward_zero_std", "entropy", "training_seconds"}
    assert old - new == {"memory_gib"}  # 3.3 writes 0.0 of a CPU
    assert new - old == since_37 - {"frac_reward_zero_std"}  # which completions.jsonl gives for 3.3


def test_the_form_of_31_and_32(tmp_path: Path) -> None:
    """No rewards in the log; completions.jsonl is written before the step, once for each micro-batch."""
    lines = [old_step(n, completion_length=32.0, response_clip_ratio=0.5) for n in (1, 2, 3)]
    run = write_run(tmp_path / "run", lines)
    batches = [
        {
            "step": [str(n)] * 2,
            "messages": [[{"role": "user", "content": "x"}]] * 2,
            "completion": ["a", "b"],
            "reward": [float(n), float(n + part)],
        }
        for n in (0, 1, 2)
        for part in (0, 1)
    ]
    (run / "completions.jsonl").write_text(text_of(batches))
    (run / "args.json").write_text(json.dumps({"num_generations": 2}))
    metrics = read_metrics(run)
    assert metrics.training.points("reward") == [(1, 0.25), (2, 1.25), (3, 2.25)]
    assert metrics.training.column("clipped_share") == [0.5] * 3
    assert metrics.training.column("completion_length") == [32.0] * 3
    assert metrics.peak_memory_gib == 70.43
    assert metrics.training.column("seconds_per_step")[1:] == pytest.approx([10.0, 10.0])


def test_numbers_as_texts(tmp_path: Path) -> None:
    texts = [
        {key: str(value) for key, value in step(n, reward=0.5, kl=1e-7).items()} for n in (1, 2)
    ]
    metrics = read_metrics(write_run(tmp_path / "run", texts))
    assert metrics.training.points("kl") == [(1, 1e-7), (2, 1e-7)]
    assert metrics.training.points("seconds_per_step") == [(2, 10.0)]


def test_a_file_that_grows(tmp_path: Path) -> None:
    run = tmp_path / "run"
    reader = MetricsReader(run)
    assert reader.read().step is None
    write_run(run, [step(1, reward=0.5)])
    assert reader.read().training.points("reward") == [(1, 0.5)]
    content = text_of([step(2, reward=0.6), step(3, reward=0.7)])
    with (run / "logging.jsonl").open("a") as file:
        file.write(content[:-40])
        file.flush()
        assert reader.read().step == 2
        file.write(content[-40:])
    assert reader.read().training.column("reward") == [0.5, 0.6, 0.7]
    assert reader.read().logged == 3


def test_rewards_that_are_written_after_the_step_was_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [step(1)])
    reader = MetricsReader(run)
    assert reader.read().training.points("reward") == []
    batch = {"step": ["1", "1"], "prompt": ["p", "p"], "completion": ["a", "b"], "F": [0.0, 1.0]}
    (run / "completions.jsonl").write_text(text_of([batch]))
    metrics = reader.read()
    assert metrics.training.points("reward") == [(1, 0.5)]
    assert metrics.training.points("reward/F") == [(1, 0.5)]
    assert reader.read().rewards_from_completions == 1


def test_rewards_of_an_attempt_that_repeats_steps(tmp_path: Path) -> None:
    """The old attempt's later lines are passed over, and the evaluation's second lines."""

    def batch(number: int, reward: float) -> dict[str, Any]:
        return {"step": [str(number)], "prompt": ["p"], "completion": ["a"], "F": [reward]}

    numbers = [1, 2, 3, 4, 5, 3, 4, 5, 6]
    lines = [step(n) for n in numbers]
    run = write_run(tmp_path / "run", lines)
    rewards = [batch(n, n + (10.0 if at > 4 else 0.0)) for at, n in enumerate(numbers)]
    rewards.insert(4, batch(4, 99.0))  # of the evaluation after step 4
    rewards.insert(6, batch(6, 88.0))  # written, but its step was never logged
    (run / "completions.jsonl").write_text(text_of(rewards))
    metrics = read_metrics(run)
    assert dict(metrics.training.points("reward")) == {1: 1, 2: 2, 3: 13, 4: 14, 5: 15, 6: 16}


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [step(n) for n in range(1, 9)])
    reader = MetricsReader(run)
    assert reader.read().step == 8
    write_run(run, [step(1, reward=0.5)])
    metrics = reader.read()
    assert (metrics.step, metrics.logged, spans(metrics)) == (1, 1, [(1, 1)])


def test_a_file_that_was_replaced_has_its_rewards_again(tmp_path: Path) -> None:
    """Rewards of all steps that only completions.jsonl has, not just of the last one."""
    lines = [step(n) for n in range(1, 9)]
    run = write_run(tmp_path / "run", lines)
    rewards = [
        {"step": [n] * 2, "completion": ["c"] * 2, "reward": [n, n + 1]} for n in range(1, 9)
    ]
    (run / "completions.jsonl").write_text(text_of(rewards))
    reader = MetricsReader(run)
    assert len(reader.read().training.points("reward")) == 8
    write_run(run, lines[:6])
    assert len(reader.read().training.points("reward")) == 6


def test_restarts(tmp_path: Path) -> None:
    """Later steps of the old attempt are gone, with what was not finite in them; the pace keeps all times."""
    lines = [step(n, reward=float(n)) for n in range(1, 9)] + [evaluation(8, reward=1.0)]
    lines[6]["loss"] = float("nan")
    again = [step(n, reward=10.0 * n) | {"elapsed_time": f"{(n - 4) * 10}s"} for n in range(5, 7)]
    metrics = read_metrics(write_run(tmp_path / "run", lines + again))
    assert spans(metrics) == [(1, 8), (5, 6)]
    assert metrics.training.column("reward") == [1, 2, 3, 4, 50, 60]
    assert (metrics.step, metrics.not_finite, len(metrics.evaluations)) == (6, {}, 0)
    assert [row.step for row in metrics.recent] == [1, 2, 3, 4, 5, 6]
    assert (metrics.pace.steps, metrics.pace.seconds) == (8, 80.0)
    assert metrics.pace.warm_up_steps == 2


def test_a_restart_that_repeats_no_step(tmp_path: Path) -> None:
    """It died after checkpoint 8 was saved and before step 9 was logged."""
    lines = [step(n) for n in range(1, 9)]
    lines += [step(n) | {"elapsed_time": f"{(n - 8) * 10}s"} for n in (9, 10)]
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    assert spans(metrics) == [(1, 8), (9, 10)]
    assert metrics.training.points("seconds_per_step")[-1] == (10, 10.0)
    assert len(metrics.training) == 10


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    lines = [step(1), step(2, kl=float("inf")) | {"loss": float("nan")}, step(3)]
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    assert metrics.not_finite == {"loss": 2, "kl": 2}
    assert metrics.training.points("loss") == [(1, 0.1), (3, 0.1)]


def test_logging_each_tenth_step(tmp_path: Path) -> None:
    lines = [step(1), *(step(n) for n in range(10, 60, 10))]
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    assert metrics.training.points("seconds_per_step") == [(n, 10.0) for n in range(10, 60, 10)]
    assert metrics.pace.steps == 49


def test_evaluations_are_not_in_the_time_of_a_step(tmp_path: Path) -> None:
    new = [
        step(1),
        step(2),
        evaluation(2),
        step(3) | {"elapsed_time": "1m 0s", "train_speed(s/it)": 20.0},
    ]
    old = [old_step(1), old_step(2), evaluation(2)]
    old += [old_step(3) | {"elapsed_time": "1m 0s", "train_speed(iter/s)": 0.05}]
    for lines in (new, old):
        metrics = read_metrics(write_run(tmp_path / "run", lines))
        assert metrics.training.points("seconds_per_step") == [(2, 10.0), (3, 10.0)]
        assert metrics.pace.evaluations == 30.0


def test_a_resumed_run_in_a_directory_of_its_own(tmp_path: Path) -> None:
    """The first line is step 501: the speed counts from checkpoint 500, which no line names."""
    lines = []
    for n in range(501, 540):
        lines.append(step(n, 1000) | {"elapsed_time": f"{(n - 500) * 10}s"})
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    times = [value for _, value in metrics.training.points("seconds_per_step")]
    assert times == pytest.approx([10.0] * 38)
    assert metrics.pace.warm_up == pytest.approx(10.0)


def test_only_the_last_lines(tmp_path: Path) -> None:
    lines = [step(n, 100_000, reward=0.5) for n in range(1, 3000)]
    run = write_run(tmp_path / "run", lines)
    metrics = read_recent_metrics(run)
    assert (metrics.step, metrics.is_whole) == (2999, False)
    assert 50 < metrics.logged < 1000
    number, seconds = metrics.training.points("seconds_per_step")[-1]
    assert (number, seconds) == (2999, 10.0)


def test_the_last_lines_before_the_history(tmp_path: Path) -> None:
    """ms-swift's last line is as long as all others together."""
    lines = [step(n, 3000, reward=0.5) for n in range(1, 3001)]
    run = write_run(tmp_path / "run", [*lines, {"best_metric": None, "log_history": lines}])
    assert read_recent_metrics(run).step == read_metrics(run).step == 3000
    assert read_recent_metrics(tmp_path / "nothing").step is None
    (run / "logging.jsonl").write_bytes(b"x" * 1_000_000)
    assert read_recent_metrics(run).step is None


def test_hostile_files(tmp_path: Path) -> None:
    """No line ends the reading; damaged lines are counted."""
    names = ",".join(f'"rewards/{n}/mean": 1.0' for n in range(5000))
    texts = [
        b"\0" * 100,
        b"\xff\xfe{}",
        b"[]",
        b"{}",
        b'{"global_step/max_steps": "x/y"}',
        b'{"global_step/max_steps": ["1/2"]}',
        b'{"loss": "much", "global_step/max_steps": "1/9"}',
        b'{"loss": [1], "kl": {"a": 1}, "grad_norm": true, "global_step/max_steps": "2/9"}',
        b'{"loss": 1' + b"0" * 5000 + b', "global_step/max_steps": "3/9"}',
        b'{"loss": 1, ' + names.encode() + b', "global_step/max_steps": "4/9"}',
        b'{"rewards//mean": 1, "rewards/": 2, "loss": 0.5, "global_step/max_steps": "5/0"}',
        b'{"a": ' * 50_000,
        b"x" * 3_000_000,
        b'{"loss": 0.25, "elapsed_time": 5, "train_speed(s/it)": -1, "global_step/max_steps": "6/9"}',
        b'{"loss": 0.25, "elapsed_time": "9d", "train_speed(iter/s)": 1e-300, "global_step/max_steps": "7/9"}',
        b'{"loss": 0.2, "global_step/max_steps": "8/9"}',
    ]
    run = tmp_path / "run"
    run.mkdir()
    (run / "logging.jsonl").write_bytes(b"\n".join(texts) + b"\n")
    (run / "completions.jsonl").write_bytes(b"\n".join(texts) + b"\n")
    (run / "args.json").write_text('{"reward_weights": [1, "x"], "num_generations": -3}')
    metrics = read_metrics(run)
    assert metrics.step == 8
    assert metrics.damaged >= 4
    assert metrics.max_steps == 9
    assert metrics.training.points("loss")[-1] == (8, 0.2)


PIECES = st.sampled_from(
    [
        *text_of([step(n, reward=0.5) for n in (1, 2, 3)] + [evaluation(2)]).encode().split(b", "),
        b"\n",
        b'{"step": ["1"], "prompt": ["p"], "completion": ["a"], "F": [0.5]}\n',
        b"NaN",
        b"{",
        b"}",
        b"\0",
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30))
def test_any_pieces_of_files(tmp_path: Path, pieces: list[bytes]) -> None:
    content = b", ".join(pieces)
    for name in ("logging.jsonl", "completions.jsonl"):
        (tmp_path / name).write_bytes(content)
    metrics = read_metrics(tmp_path)
    assert metrics.training.steps() == sorted(set(metrics.training.steps()))


ODD: st.SearchStrategy[Any] = st.one_of(
    st.floats(),
    st.integers(-(10**20), 10**20),
    st.text(max_size=6),
    st.sampled_from([None, True, [], float("nan"), float("inf"), 1e-300]),
    st.sampled_from(
        ["nan", "inf", "-inf", "1e999", "3s", "9d", "1d 2h", "12%", "3/9", "4/9", "1/0"]
    ),
)
KEYS = st.sampled_from(
    [
        "loss",
        "reward",
        "kl",
        "memory(GiB)",
        "completions/mean_length",
        "eval_loss",
        "eval_runtime",
        "train_runtime",
        "global_step/max_steps",
        "elapsed_time",
        "train_speed(s/it)",
        "train_speed(iter/s)",
        "rewards/A/mean",
        'rewards/"\\/mean',
    ]
)
ODD_LINES = st.lists(
    st.tuples(st.integers(0, 9), st.dictionaries(KEYS, ODD, max_size=3)), max_size=20
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ODD_LINES)
def test_any_values(tmp_path: Path, lines: list[tuple[int, dict[str, Any]]]) -> None:
    """Nothing that stands in place of a number or a time ends the reading, or a calculation with it."""
    whole = [step(n, 9, reward=0.5) | values for n, values in lines]
    (tmp_path / "logging.jsonl").write_text(text_of(whole))
    known = RunSettings({"eval_steps": 2}, {}, samples_per_step=4)
    metrics = read_metrics(tmp_path)
    for table in (metrics.training, metrics.evaluations):
        assert table.steps() == sorted(set(table.steps()))
    throughput(metrics, known)
    hints(metrics, known)
    overview(metrics, known, 0.0, 100.0, is_running=True)


def test_several_validation_sets(tmp_path: Path) -> None:
    """Each has a line with keys of its own, and they are one row."""
    other = {"eval_other_loss": 0.5, "eval_other_runtime": 3.0, "global_step/max_steps": "2/9"}
    lines = [step(1), step(2), evaluation(2, reward=0.5), other, step(3)]
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    assert (metrics.evaluations.steps(), metrics.logged) == ([2], 3)
    assert metrics.evaluations.column("reward") == [0.5]


def test_no_links(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "logging.jsonl").symlink_to(SWIFT_46 / "logging.jsonl")
    assert read_metrics(run).step is None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("rewards/PrlFormat/mean", "reward/PrlFormat"),
        ("rewards/PrlFormat/std", "reward_std/PrlFormat"),
        ("rewards/PrlFormat", "reward/PrlFormat"),  # 3.1 and 3.2
        ("rewards/a/b/mean", "reward/a/b"),
        ("rewards/", None),
        ("completion_length", "completion_length"),
        ("response_clip_ratio", "clipped_share"),
        ("total_flos", None),
        ("rewards/" + "x" * 500, None),
    ],
)
def test_names(key: str, name: str | None) -> None:
    assert name_of(key) == name


def test_each_name_and_key_is_said_once() -> None:
    names = [metric.name for metric in METRICS]
    keys = [key for metric in METRICS for key, _ in metric.keys]
    assert len(names) == len(set(names))
    assert len(keys) == len(set(keys))


def copied(run: Path, log: bytes) -> None:
    """A run of a cluster whose disk is not here: its log was copied."""
    (run / "logs").mkdir(parents=True, exist_ok=True)
    (run / "logs" / ".kept0.json").write_text("{}")
    (run / "logs" / "node0.log").write_bytes(log)


def test_the_copied_log_of_a_run_elsewhere(tmp_path: Path) -> None:
    """The same steps and rewards, with the digits that ms-swift prints."""
    for real, digits in ((SWIFT_46, 5e-4), (SWIFT_33, 1e-9)):
        run = tmp_path / real.name
        copied(run, (real / "logs" / "node0.log").read_bytes())
        printed, logged = read_metrics(run), read_metrics(real)
        assert spans(printed) == spans(logged)
        assert printed.max_steps == logged.max_steps
        assert printed.training.steps() == logged.training.steps()
        found = dict(printed.training.points("reward"))
        for number, value in logged.training.points("reward"):
            assert number not in found or found[number] == pytest.approx(value, rel=digits)
        assert len(found) == len(logged.training) - logged.rewards_from_completions
        assert len(printed.evaluations) == 3
        assert read_recent_metrics(run).step == logged.step


def test_the_file_that_is_further_counts(tmp_path: Path) -> None:
    """`collect` copied logging.jsonl some time ago, and the log is newer."""
    run = write_run(tmp_path / "run", [step(n, reward=0.25) for n in (1, 2)])
    reader = MetricsReader(run)
    assert reader.read().step == 2
    printed = "".join(f"\r   \r{step(n, reward=0.5)}\n" for n in (1, 2, 3)).encode()
    copied(run, printed)
    assert reader.read().training.points("reward") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    write_run(run, [step(n, reward=0.25) for n in (1, 2, 3, 4)])
    assert reader.read().training.points("reward")[-1] == (4, 0.25)


def test_a_log_that_was_not_copied_is_not_read(tmp_path: Path) -> None:
    """There logging.jsonl has more digits, and is in the same directory."""
    copied(tmp_path / "run", (SWIFT_46 / "logs" / "node0.log").read_bytes())
    (tmp_path / "run" / "logs" / ".kept0.json").unlink()
    assert read_metrics(tmp_path / "run").step is None


def test_settings_that_are_written_after_the_reader_was_made(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    reader = MetricsReader(run)
    assert reader.read().step is None
    (run / "args.json").write_text('{"reward_weights": [0.5, 2.0]}')
    write_run(run, [step(1)])
    batch = {"step": ["1"], "prompt": ["p"], "completion": ["a"], "F": [1.0], "G": [1.0]}
    (run / "completions.jsonl").write_text(text_of([batch]))
    assert reader.read().training.points("reward") == [(1, 2.5)]

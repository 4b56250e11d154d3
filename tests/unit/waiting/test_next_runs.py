"""Which waiting run starts next, and on which GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prl_submit.backends.waiting.next_runs import NextRuns, WaitingRun, choose

POOL = ("0", "1", "2", "3")


def runs(*gpus: int | None) -> list[WaitingRun]:
    """Runs `a`, `b`, … that need so many GPUs."""
    return [
        WaitingRun(name=chr(ord("a") + index), gpus=count, pool=POOL if count else ())
        for index, count in enumerate(gpus)
    ]


def chosen(
    *gpus: int | None,
    running: Sequence[int | None] = (),
    busy: Sequence[str] = (),
    max_parallel: int | None = None,
) -> NextRuns:
    return choose(runs(*gpus), running, busy, max_parallel)


def test_each_run_gets_gpus_of_its_own() -> None:
    choice = chosen(1, 2, 1)
    assert choice.starts == {"a": ["0"], "b": ["1", "2"], "c": ["3"]}
    assert choice.reasons == {}


def test_gpus_in_use_are_left_alone() -> None:
    choice = chosen(1, 2, busy=["0", "2", "GPU-of-others"])
    assert choice.starts == {"a": ["1"]}
    assert choice.reasons == {"b": "waiting for 2 free GPUs"}


def test_a_small_run_fills_the_room_that_a_large_one_cannot_use() -> None:
    choice = chosen(4, 1, 4, 1, busy=["0", "1"], running=[2])
    assert choice.starts == {"b": ["2"], "d": ["3"]}
    assert choice.reasons == dict.fromkeys("ac", "waiting for 4 free GPUs")


def test_without_room_all_wait() -> None:
    choice = chosen(1, 1, busy=POOL)
    assert choice.starts == {}
    assert choice.reasons == dict.fromkeys("ab", "waiting for a free GPU")


def test_max_parallel_counts_those_that_run() -> None:
    choice = chosen(1, 1, 1, running=[1], max_parallel=2)
    assert list(choice.starts) == ["a"]
    assert choice.reasons == dict.fromkeys("bc", "waiting for its turn (max_parallel 2)")


def test_on_the_cpu_one_at_a_time_unless_max_parallel_says_more() -> None:
    words = "waiting for its turn (one at a time on the CPU, without max_parallel)"
    assert chosen(0, 0).starts == {"a": []}
    assert chosen(0, 0).reasons == {"b": words}
    assert chosen(0, running=[0]).reasons == {"a": words}
    assert list(chosen(0, 0, 0, max_parallel=2).starts) == ["a", "b"]
    assert list(chosen(0, 1, running=[1]).starts) == ["a", "b"], "a GPU run is not on the CPU"


def test_a_backend_that_finds_room_itself() -> None:
    assert list(chosen(None, None).starts) == ["a", "b"]
    assert list(chosen(None, None, max_parallel=1).starts) == ["a"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["v3"], "waiting for v3"),
        (["v3", "v4"], "waiting for v3 and v4"),
        (["v3", "v4", "v5"], "waiting for v3, v4 and v5"),
        (["v3", "v4", "v5", "v6"], "waiting for v3, v4 and 2 more"),
    ],
)
def test_a_run_waits_for_its_predecessors(names: list[str], words: str) -> None:
    first = WaitingRun(name="a", gpus=1, pool=POOL, waits_for=names)
    choice = choose([first, *runs(None, 1)[1:]], [], [], 1)
    assert choice.reasons == {"a": words}
    assert choice.starts == {"b": ["0"]}, "the others do not wait for it"


@given(
    st.lists(st.integers(0, 4), max_size=8),
    st.sets(st.sampled_from(POOL)),
    st.none() | st.integers(1, 4),
    st.lists(st.integers(0, 2), max_size=3),
)
def test_no_gpu_is_given_twice_and_no_run_is_forgotten(
    gpus: list[int], busy: set[str], most: int | None, running: list[int]
) -> None:
    choice = chosen(*gpus, running=running, busy=sorted(busy), max_parallel=most)
    given_out = [gpu for mine in choice.starts.values() for gpu in mine]
    assert len(given_out) == len(set(given_out))
    assert not set(given_out) & busy
    names = {run.name: run.gpus for run in runs(*gpus)}
    assert {name: len(mine) for name, mine in choice.starts.items()}.items() <= names.items()
    assert choice.starts.keys() | choice.reasons.keys() == names.keys()
    assert not choice.starts.keys() & choice.reasons.keys()
    if most is not None:
        assert len(running) + len(choice.starts) <= max(most, len(running))
    if names and not running and not busy:
        assert choice.starts, "with an empty machine something starts"

"""logs: one rank, one node, and what there is instead."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import World

#: What torchrun does with PET_TEE=3 (seen with torch 2.13): each rank's output in files of its own.
TEE = (
    "folder=$PET_LOG_DIR/1d3c_x/attempt_0; mkdir -p $folder/{0,1}; for rank in 0 1; do "
    "echo out of $rank >$folder/$rank/stdout.log; echo err of $rank >$folder/$rank/stderr.log; "
    "echo [default$rank]:out of $rank; done; step 1 1"
)
TWO = {"resources__nproc_per_node": 2, "environment__env": {"PET_TEE": "3"}}


def test_one_rank(world: World) -> None:
    """--rank prints the log of that rank alone, now or followed."""
    world.run_to_end(TEE, **TWO)
    done = world.prl("logs", "latest", "--rank", "1")
    assert (done.code, sorted(done.out.splitlines())) == (0, ["err of 1", "out of 1"])
    followed = world.prl("logs", "latest", "--rank", "0", "-f")
    assert followed.code == 0
    assert sorted(followed.out.splitlines()) == ["err of 0", "out of 0"]


#: A step and a progress bar, as ms-swift prints them.
STEP = "{'loss': '0.1', 'reward': '0.0227', 'reward_std': 0.002, 'kl': nan, 'global_step/max_steps': '1/1', 'remaining_time': '2m 0s', 'train_speed(s/it)': '2.2'}"
PRINTS = f"""printf '\\rTrain: 0%%| 0/1\\r   \\r%s\\nTrain: 100%%| 1/1' "{STEP}"; step 1 1"""


def test_steps_are_short_lines_where_they_are_followed(world: World) -> None:
    world.run_to_end(PRINTS)
    short = world.prl("logs", "latest", "-f")
    assert short.code == 0
    assert "step 1/1  reward 0.0227 ±0.002  2.2 s/it  2 min left\n" in short.out
    assert "Train: 100%| 1/1" in short.out
    for words in (("-f", "--raw"), ()):
        assert STEP in world.prl("logs", "latest", *words).out


def test_ranks_and_nodes_that_are_not_there(world: World) -> None:
    world.run_to_end(TEE, **TWO)
    for words, message in {
        ("--rank", "2"): "has no rank 2; it has 0 to 1",
        ("--node", "1"): "has no node 1; it has 0 to 0",
        ("--rank", "1", "--node", "3"): "has no node 3",
    }.items():
        done = world.prl("logs", "latest", *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err


def test_ranks_that_are_not_logged_apart(world: World) -> None:
    world.run_to_end("step 1 1")
    done = world.prl("logs", "latest", "--rank", "0")
    assert done.code == 2
    assert "does not log its ranks apart" in done.err
    assert "environment.env.PET_TEE=3" in done.err


def test_a_rank_is_followed(world: World, eventually: Callable[..., None]) -> None:
    """From before its first line to the end of the job, whose result is returned."""
    run = world.submit(f"sleep 1; {TEE}; sleep 1; exit 3", **TWO)
    done = world.prl("logs", run, "--rank", "1", "-f")
    assert done.code == 1
    assert sorted(done.out.splitlines()) == ["err of 1", "out of 1"]
    assert "FAILED" in done.err

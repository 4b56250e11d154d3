"""sbatch's refusals: the key of the spec, Slurm's message, and what the cluster has instead."""

from __future__ import annotations

import pytest

from prl_submit.backends.slurm.refusals import choices_argv, explain, parse_choices
from prl_submit.errors import Refusal
from tests.support.plans import slurm_plan

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("Invalid partition name specified", "slurm.partition"),
        ("invalid partition specified: typo", "slurm.partition"),
        ("User's group not permitted to use this partition", "slurm.partition"),
        ("Invalid account or account/partition combination specified", "slurm.account"),
        ("Invalid qos specification", "slurm.qos"),
        (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "slurm.qos",
        ),
        ("Invalid feature specification", "slurm.constraint"),
        ("Invalid wckey specification", "slurm.extra.wckey"),
        ("Invalid license specification", "slurm.extra.licenses"),
        ("Invalid --nice value", "slurm.extra.nice"),
        ("Burst Buffer request invalid", "slurm.extra.bb"),
        ("CPU count specification invalid", "resources.cpus_per_proc"),
        ("Requested reservation is invalid", "slurm.reservation"),
        ("Invalid node name specified", "slurm.nodelist"),
        ("Job dependency problem", "slurm.dependency"),
        ("Invalid generic resource (gres) specification", "resources.gpu_type"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "resources.time_limit"),
        ("Node count specification invalid", "resources.nodes"),
        ("More processors requested than permitted", "resources.cpus_per_proc"),
        ("Memory required by task is not available", "resources.memory"),
        ("Requested node configuration is not available", "resources"),
        ("Access/permission denied", None),
        ("Unspecified error", None),
    ],
)
def test_which_key_is_to_blame(said: str, key: str | None) -> None:
    refusal = explain(f"{FAILED}{said}\n", slurm_plan())
    assert (refusal.key, refusal.message) == (key, f"Slurm refused the job: {said}")


@pytest.mark.parametrize(
    ("err", "message"),
    [
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + FAILED + "Job violates x\n",
            "Job violates x",
        ),
        ("allocation failure: Invalid partition name specified", "Invalid partition name specified"),
        ("sbatch: fatal: nonsense\n", "nonsense"),
        ("sbatch: error: Invalid --mail-type specification\n", "Invalid --mail-type specification"),
        ("", "no answer"),
    ],
)  # fmt: skip
def test_slurms_own_words(err: str, message: str) -> None:
    assert explain(err, slurm_plan()).message == f"Slurm refused the job: {message}"


def test_the_value_and_what_there_is_instead() -> None:
    plan = slurm_plan("slurm: {partition: gppu}")
    err = FAILED + "Invalid partition name specified"
    assert explain(err, plan, ["cpu", "gpu"]) == Refusal(
        "slurm.partition",
        "'gppu': Slurm refused the job: Invalid partition name specified",
        "did you mean 'gpu'? has: cpu, gpu",
    )


@pytest.mark.parametrize(
    ("slurm", "choices", "hint"),
    [
        ("partition: xyz", ["cpu", "gpu"], "has: cpu, gpu"),
        ("", ["cpu", "gpu"], "has: cpu, gpu"),  # the variable's or the default one
        ("partition: xyz", [], None),
    ],
)
def test_hints_about_partitions(slurm: str, choices: list[str], hint: str | None) -> None:
    err = FAILED + "Invalid partition name specified"
    assert explain(err, slurm_plan(f"slurm: {{{slurm}}}"), choices).hint == hint


def test_choices_belong_to_the_section_alone() -> None:
    err = FAILED + "Node count specification invalid"
    assert explain(err, slurm_plan(), ["gpu"]).hint is None


@pytest.mark.parametrize(
    ("err", "key"),
    [
        ("sbatch: unrecognized option '--segment=4'", "slurm.extra.segment"),
        ("sbatch: unrecognized option '--tres-per-task'", "slurm.extra.tres-per-task"),
        ("sbatch: unrecognized option '--extra=x'", "slurm.extra.extra"),
    ],
)
def test_an_option_of_a_later_version(err: str, key: str) -> None:
    said = err.removeprefix("sbatch: ")
    plan = slurm_plan("slurm: {extra: {extra: x, segment: 4}}")
    assert explain(f"{err}\nTry \"sbatch --help\" for more information\n", plan) == Refusal(
        key,
        f"Slurm refused the job: {said}",
        "this version of Slurm does not have it: remove it",
    )  # fmt: skip


def test_mail_type() -> None:
    """A refused --mail-type names slurm.extra.mail-type."""
    err = "sbatch: error: Invalid --mail-type specification"
    assert explain(err, slurm_plan()).key == "slurm.extra.mail-type"


# ------------------------------------------------------------------ choices
@pytest.mark.parametrize(
    ("key", "program", "last"),
    [
        ("slurm.partition", "sinfo", "--format=%R"),
        ("slurm.account", "sacctmgr", "format=account"),
        ("slurm.qos", "sacctmgr", "format=qos"),
    ],
)
def test_the_question_for_choices(key: str, program: str, last: str) -> None:
    argv = choices_argv(key, "me")
    assert argv is not None
    assert (argv[0], argv[-1]) == (program, last)
    assert program == "sinfo" or "user=me" in argv


@pytest.mark.parametrize("key", [None, "resources", "slurm.constraint", "slurm.extra.x"])
def test_nothing_to_choose_from(key: str | None) -> None:
    assert choices_argv(key, "me") is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu\ncpu\n", ["gpu", "cpu"]),
        ("normal,long\nnormal\n", ["normal", "long"]),
        (" a \n\n,\n", ["a"]),
        ("", []),
    ],
)
def test_choices(text: str, names: list[str]) -> None:
    """The choices are read from Slurm's answer."""
    assert parse_choices(text) == names

"""verdict.json: kept for the job it is about, and for no other."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from prl_submit.errors import OutputError
from prl_submit.runs.cancellation import CancelNote, cancel_reason, write_cancel
from prl_submit.runs.directory import Run
from prl_submit.runs.final_state import read_verdict, write_verdict
from prl_submit.runs.layout import CANCEL, VERDICT
from prl_submit.runs.states import FAILED, State
from prl_submit.system.owners import user_name
from tests.support.records import record

RECORD = record(backend="slurm")
STATE = State(
    state=FAILED, reason="node n1 failed", exit_code=None, started_at="a", ended_at="b", restarts=2
)


def run(path: Path, **changes: object) -> Run:
    """A run, its record changed."""
    return Run(path, 1, msgspec.structs.replace(RECORD, **changes))


def test_it_reads_back(tmp_path: Path) -> None:
    write_verdict(run(tmp_path), STATE)
    assert read_verdict(run(tmp_path)) == STATE
    assert json.loads((tmp_path / VERDICT).read_text())["state"]["reason"] == "node n1 failed"


@pytest.mark.parametrize("changes", [{"job_id": "78"}, {"job_id": None}, {"restarts": 1}])
def test_another_job_of_the_run_has_no_verdict(tmp_path: Path, changes: dict[str, object]) -> None:
    write_verdict(run(tmp_path), STATE)
    assert read_verdict(run(tmp_path, **changes)) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"job_id": "77", "attempt": 0, "state": "FAILED"}'],
)
def test_a_damaged_one_counts_for_nothing(tmp_path: Path, data: bytes) -> None:
    """A verdict.json that cannot be read is ignored."""
    (tmp_path / VERDICT).write_bytes(data)
    assert read_verdict(run(tmp_path)) is None


def test_none_yet(tmp_path: Path) -> None:
    """A run without verdict.json has no final state."""
    assert read_verdict(run(tmp_path)) is None


def test_a_run_without_a_record(tmp_path: Path) -> None:
    broken = Run(tmp_path, 1, None, "damaged")
    write_verdict(broken, STATE)
    assert not (tmp_path / VERDICT).exists()
    assert read_verdict(broken) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write_verdict(run(tmp_path / "gone"), STATE)
    assert read_verdict(run(tmp_path / "gone")) is None


def test_the_last_one_stays(tmp_path: Path) -> None:
    """A later end replaces the earlier one."""
    write_verdict(run(tmp_path), STATE)
    write_verdict(run(tmp_path), msgspec.structs.replace(STATE, reason="other"))
    found = read_verdict(run(tmp_path))
    assert found is not None
    assert found.reason == "other"
    assert [file.name for file in tmp_path.iterdir()] == [VERDICT]


# ------------------------------------------------------------------ cancel.json
def test_a_cancellation_names_who_ordered_it(tmp_path: Path) -> None:
    assert cancel_reason(tmp_path) is None
    write_cancel(tmp_path)
    reason = cancel_reason(tmp_path)
    assert reason is not None
    assert reason.startswith("cancelled by ")
    assert len(reason) > len("cancelled by ")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"3", b"\xff"])
def test_a_damaged_cancellation_is_one_still(tmp_path: Path, data: bytes) -> None:
    """A cancel.json that cannot be read still means that the job was cancelled."""
    (tmp_path / CANCEL).write_bytes(data)
    assert cancel_reason(tmp_path) == "cancelled"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a$(id)b"])
def test_a_name_that_launch_sh_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It reads the reason with sed."""
    monkeypatch.setattr("prl_submit.runs.cancellation.user_name", lambda: name)
    write_cancel(tmp_path)
    expected = "".join(char for char in name if char.isalnum())
    assert cancel_reason(tmp_path) == f"cancelled by {expected}"


def test_a_full_disk_keeps_no_job_alive(tmp_path: Path) -> None:
    """The note is tried again at the end, and then its absence is told."""
    run = tmp_path / "gone"
    note = CancelNote(run)
    with pytest.raises(
        OutputError, match=r"gone was told to end, but cancel\.json cannot be written"
    ):
        note.close()
    run.mkdir()
    note.close()
    assert cancel_reason(run)


def test_a_user_without_a_name() -> None:
    assert user_name(4_000_000_000) == "uid 4000000000"
    assert user_name(0) == "root"

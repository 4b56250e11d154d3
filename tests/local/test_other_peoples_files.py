"""A run directory is data that anybody may have written: forged, copied, linked, another user's.

Two real users besides root. Nothing of another's is signalled, written or run, whatever a record says.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.backends.local import processes
from tests.conftest import PROJECT, Done, World

if TYPE_CHECKING:
    Eventually = Callable[..., None]

ROOT, ALICE, BOB = 0, 4242, 4343
LONG = 'echo "$$" >"$run/ready"; exec sleep 60'


def others_are_possible() -> bool:
    """Whether we are root, and other users can run this very Python and this very checkout."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    argv = [*become(ALICE), sys.executable, "-c", "import prl_submit"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def become(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []


several_users = pytest.mark.skipif(
    not others_are_possible(), reason="needs root, setpriv, and a checkout that others may read"
)


class Shared:
    """A world whose output root several users share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.output = world.output

    def prl(self, uid: int, *words: object, timeout: float = 60, **environ: str) -> Done:
        """prl-submit, typed by a user."""
        argv = [*become(uid), sys.executable, "-m", "prl_submit", *words]
        home = str(self.world.root / f"home{uid}")
        # The environment's Python may lie where other users may not go; nothing here needs it.
        environ |= {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache", "PRL_PREFLIGHT": "off"}
        return self.world.finish(self.world.popen(argv, **environ), timeout)

    def finished(self, uid: int, fake: str = "step 1 1") -> Path:
        """A run of a user that has ended."""
        done = self.prl(uid, self.world.spec(), "--wait", FAKE=fake)
        assert done.out, done.err
        return Path(done.out.strip())

    def running(self, uid: int, eventually: Eventually) -> Path:
        """A run of a user whose training goes on."""
        done = self.prl(uid, self.world.spec(), FAKE=LONG)
        run = Path(done.out.strip())
        eventually((run / "ready").exists)
        return run

    def stranger(self, uid: int) -> subprocess.Popen[bytes]:
        """A process of a user that has nothing to do with any run."""
        return self.world.popen([*become(uid), "setsid", "sleep", "60"])

    def states(self, uid: int) -> dict[str, str]:
        """What `list` says to a user."""
        return {run["run"]: run["state"] for run in self.prl(uid, "list", "--json").json["runs"]}

    def copy(self, uid: int, run: Path, name: str) -> Path:
        """`cp -r`, typed by a user."""
        copy = run.parent / name
        subprocess.run([*become(uid), "cp", "-r", run, copy], check=True)
        return copy


@pytest.fixture
def shared(new_world: Callable[[Path], World], public_folder: Path) -> Iterator[Shared]:
    """In a folder that every user may enter, unlike pytest's own."""
    world = new_world(public_folder)
    world.output.mkdir()
    world.output.chmod(0o1777)
    for uid in (ROOT, ALICE, BOB):
        home = public_folder / f"home{uid}"
        home.mkdir()
        os.chown(home, uid, uid)
    try:
        yield Shared(world)
    finally:
        world.close()


def edit(run: Path, **fields: Any) -> None:
    """Change run.json in place; its owner stays."""
    record = json.loads((run / "run.json").read_text()) | fields
    (run / "run.json").write_text(json.dumps(record))


def identity(pid: int) -> dict[str, Any]:
    found = processes.identify(pid)
    return {name: getattr(found, name) for name in found.__struct_fields__}


def snapshot(folder: Path) -> dict[str, tuple[float, bytes]]:
    """Every file with its time and content, and every folder with its time."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def lives(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.3)
    return process.returncode is None


# ------------------------------------------------------------------ forged records
@several_users
@pytest.mark.parametrize(
    ("writer", "victim", "typist"),
    [
        (ALICE, BOB, ROOT),  # root cancels alice's forgery
        (ALICE, BOB, BOB),  # bob does
        (ALICE, ALICE, ALICE),  # her own process, which is no run's: an unpacked archive
        (ROOT, BOB, ROOT),
        (ROOT, ROOT, ROOT),
    ],
)
def test_a_process_without_the_mark_is_never_signalled(
    shared: Shared, writer: int, victim: int, typist: int
) -> None:
    run = shared.finished(writer)
    (run / "exit.json").unlink()
    stranger = shared.stranger(victim)
    edit(run, process=identity(stranger.pid), job_id=str(stranger.pid))
    for words in (["cancel", run], ["cancel", run, "--force-owner"], ["resume", run]):
        shared.prl(typist, *words)
        assert lives(stranger), words
    assert shared.states(typist) == {run.name: "LOST"}


@several_users
@pytest.mark.parametrize("typist", [ALICE, ROOT])
def test_a_copied_token_reaches_no_job(shared: Shared, eventually: Eventually, typist: int) -> None:
    """Bob forges a record out of alice's, whose job runs; she, or root, cancels what bob made."""
    run = shared.running(ALICE, eventually)
    copy = shared.copy(BOB, run, "v9-20260101-000000")
    assert copy.stat().st_uid == BOB
    for directory in (None, {"path": str(copy), "inode": copy.stat().st_ino}):
        edit(copy, directory=directory)
        for words in (["cancel", copy], ["cancel", copy, "--force-owner"]):
            shared.prl(typist, *words)
            assert shared.states(ALICE)[run.name] == "RUNNING", (words, directory)
        assert not (run / "cancel.json").exists()
    assert shared.prl(ALICE, "cancel", run).code == 0
    assert shared.states(ALICE)[run.name] == "CANCELLED"


def test_a_process_of_ones_own_other_run(world: World, eventually: Eventually) -> None:
    """A record that names another run's launch.sh, token and all."""
    run = world.submit(LONG)
    eventually((run / "ready").exists)
    other, _ = world.run_to_end()
    (other / "exit.json").unlink()
    theirs = json.loads((run / "run.json").read_text())
    for fields in ({"process": theirs["process"]}, {**theirs, "directory": None}):
        edit(other, **fields)
        world.prl("cancel", other)
        assert world.states()[run.name] == "RUNNING"
    assert world.prl("cancel", run).code == 0
    assert world.states()[run.name] == "CANCELLED"


def test_a_job_of_an_older_version_is_still_cancelled(world: World, eventually: Eventually) -> None:
    """Its launch.sh was started without the mark, which its children have."""
    run = world.submit(LONG)
    eventually((run / "ready").exists)
    world.prl("cancel", run)
    (run / "exit.json").unlink()
    (run / "cancel.json").unlink()
    (run / "ready").unlink()
    old = world.popen(["setsid", "bash", run / "launch.sh"], FAKE=LONG)
    eventually((run / "ready").exists)
    edit(run, process=identity(old.pid), job_id=str(old.pid), directory=None)
    assert world.states() == {run.name: "RUNNING"}
    assert world.prl("cancel", run).code == 0
    assert world.states() == {run.name: "CANCELLED"}
    assert world.alive("sleep") == []


# ------------------------------------------------------------------ copies and moves
def test_a_copy_touches_nothing_of_the_run(world: World, eventually: Eventually) -> None:
    run = world.submit(f"checkpoint 2 4; step 2 4; {LONG}")
    eventually((run / "ready").exists)
    copy = run.parent / "v7-20260101-000000"
    shutil.copytree(run, copy, symlinks=True)
    before = snapshot(run)
    for command in ("cancel", "resume", "collect"):
        done = world.prl(command, copy)
        if command != "collect":
            assert (done.code, done.out, str(run) in done.err) == (2, "", True), done
            assert "is a copy of" in done.err
    listed = {item["run"]: item for item in world.prl("list", "--json").json["runs"]}
    assert listed[run.name]["state"] == "RUNNING"
    assert listed[copy.name]["state"] == "LOST"
    assert f"a copy of {run}" in listed[copy.name]["reason"]
    assert world.prl("wait", copy).code == 1
    assert world.prl("logs", copy, "-f").code == 1
    assert snapshot(run) == before
    world.prl("cancel", run)
    assert world.states() == {run.name: "CANCELLED", copy.name: "LOST"}


def test_a_copy_of_a_finished_run_shows_its_end(world: World) -> None:
    run, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    copy = run.parent / "copy"
    shutil.copytree(run, copy)
    status = world.prl("status", copy, "--json").json["runs"][0]
    assert status["state"] == "FAILED"
    assert f"a copy of {run}" in status["reason"]
    before = snapshot(run), snapshot(copy)
    assert world.prl("resume", copy).code == 2
    assert (snapshot(run), snapshot(copy)) == before
    (run / "exit.json").unlink()  # as a later attempt does: the copy keeps its own
    assert world.prl("status", copy, "--json").json["runs"][0]["state"] == "FAILED"


def test_a_copy_from_before_a_resume_stays_one(world: World) -> None:
    run, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    shutil.copytree(run, run.parent / "copy")
    assert world.prl("resume", run, "--wait", FAKE="checkpoint 4 4; step 4 4").code == 0
    done = world.prl("resume", run.parent / "copy")
    assert done.code == 2
    assert "is a copy of" in done.err


@pytest.mark.parametrize("how", ["root renamed", "run renamed", "other file system", "old record"])
def test_a_moved_run_goes_on_where_it_lies(world: World, how: str) -> None:
    run, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    new = world.root / "archive" / run.name
    if how == "root renamed":
        world.output.rename(world.root / "archive")
    else:
        new = new if how == "other file system" else new.with_name("v40-20260101-000000")
        new.parent.mkdir()
        if how == "other file system":  # what `mv` does then
            shutil.copytree(run, new)
            shutil.rmtree(run)
        else:
            run.rename(new)
    if how == "old record":
        edit(new, directory=None)
    done = world.prl("resume", new, "--wait", FAKE="checkpoint 4 4; step 4 4")
    assert done.code == 0, done.err
    assert Path(done.out.strip()) == new
    assert json.loads((new / "exit.json").read_text())["state"] == "SUCCEEDED"
    assert not run.exists()
    words = (new / "argv").read_bytes().decode().split("\0")
    assert words[words.index("--output_dir") + 1] == str(new)
    assert words[words.index("--resume_from_checkpoint") + 1] == str(new / "checkpoint-2")
    assert str(run) not in (new / "launch.sh").read_text()
    root = ["--output-root", str(new.parent)]
    assert world.prl("status", new.name, *root, "--json").json["runs"][0]["reason"] is None


def test_a_run_moved_while_it_runs_is_still_the_same(world: World, eventually: Eventually) -> None:
    run = world.submit(LONG)
    eventually((run / "ready").exists)
    new = run.with_name("v40-20260101-000000")
    run.rename(new)
    assert world.states() == {new.name: "RUNNING"}
    world.prl("cancel", new)
    assert world.alive("sleep") == []


def test_a_moved_run_without_its_working_directory(world: World) -> None:
    work = world.root / "project"
    work.mkdir()
    over = {"workdir": str(work), "output": "../output", "environment__venv": str(world.venv)}
    run, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1", **over)
    new = run.with_name("v40-20260101-000000")
    run.rename(new)
    work.rename(world.root / "elsewhere")
    before = snapshot(new)
    done = world.prl("resume", new)
    assert done.code == 2
    assert f"working directory {work} is gone" in done.err
    after = snapshot(new)
    assert {path: seen[1] for path, seen in before.items()}.items() <= {
        path: seen[1] for path, seen in after.items()
    }.items()


# ------------------------------------------------------------------ symbolic links
PRECIOUS = b"precious\n"


@pytest.mark.parametrize("name", ["logs/.resume.lock", "cancel.json", "plan.json", "launch.sh"])
def test_nothing_is_written_through_a_link(world: World, name: str) -> None:
    run, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    precious = world.root / "precious"
    content = PRECIOUS if name.endswith(("lock", "json")) else (run / name).read_bytes()
    content = (run / name).read_bytes() if name == "plan.json" else content
    precious.write_bytes(content)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(precious)
    done = world.prl("resume", run, FAKE="step 4 4")
    assert done.code == 2, done.err
    assert "link" in done.err
    assert precious.read_bytes() == content


def test_logs_that_is_a_link(world: World, eventually: Eventually) -> None:
    run = world.submit(f"checkpoint 2 4; step 2 4; {LONG}")
    eventually((run / "ready").exists)
    elsewhere = world.root / "elsewhere"
    (run / "logs").rename(elsewhere)
    (run / "logs").symlink_to(elsewhere)
    assert world.prl("cancel", run).code == 0
    before = sorted(elsewhere.iterdir())
    done = world.prl("resume", run)
    assert done.code == 2
    assert "logs: is a symbolic link" in done.err
    assert sorted(elsewhere.iterdir()) == before


def test_a_cancel_note_replaces_a_link(world: World, eventually: Eventually) -> None:
    """Also one with the name of a temporary file, which nobody can guess any more."""
    run = world.submit(LONG)
    eventually((run / "ready").exists)
    precious = world.root / "precious"
    precious.write_bytes(PRECIOUS)
    (run / "cancel.json").symlink_to(precious)
    process = world.start("cancel", run)
    with contextlib.suppress(FileExistsError):
        (run / f".cancel.json.{process.pid}.part").symlink_to(precious)
    assert world.finish(process).code == 0
    assert precious.read_bytes() == PRECIOUS
    assert not (run / "cancel.json").is_symlink()
    assert world.states() == {run.name: "CANCELLED"}


# ------------------------------------------------------------------ files that are no files
RECORDS = [
    *("run.json", "exit.json", "cancel.json", "verdict.json", "plan.json", "spec.yaml"),
    *("logging.jsonl", "logs/node0.log", "logs/.kept0.json", "logs/.missing", "logs/.job"),
    *("logs/node1.exit.json", "checkpoint-2/trainer_state.json"),
]


def be_a_pipe(path: Path) -> None:
    os.mkfifo(path)


def be_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def be_a_folder(path: Path) -> None:
    path.mkdir()


def be_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


def be_a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def be_deep(path: Path) -> None:
    path.write_text('{"unknown": ' + "[" * 100_000 + "]" * 100_000 + "}")


KINDS = [be_a_pipe, be_endless, be_a_folder, be_huge, be_a_loop, be_deep]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_bad_file_spoils_no_list(world: World, kind: Callable[[Path], None]) -> None:
    """Each record of a run in turn; the others are listed, and no command hangs or dies."""
    good, _ = world.run_to_end()
    template, _ = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    (template / "checkpoint-2").mkdir(exist_ok=True)
    for number, name in enumerate(RECORDS):
        run = template.with_name(f"v{number + 10}-20260101-000000")
        shutil.copytree(template, run)
        edit(run, directory={"path": str(run), "inode": run.stat().st_ino})
        (run / name).unlink(missing_ok=True)
        kind(run / name)
    done = world.prl("list", "--json")
    assert done.code == 0, done.err
    listed = {item["run"]: item["state"] for item in done.json["runs"]}
    assert len(listed) == len(RECORDS) + 2
    assert listed[good.name] == "SUCCEEDED"
    assert world.prl("list").code == 0
    assert world.prl("status").code == 0
    assert world.prl("wait").code == 0
    for number in range(len(RECORDS)):
        run = template.with_name(f"v{number + 10}-20260101-000000")
        assert world.prl("cancel", run).code in (0, 1), RECORDS[number]
        if not (kind is be_huge and RECORDS[number] == "logs/node0.log"):
            assert world.prl("logs", run).code in (0, 2), RECORDS[number]


@pytest.mark.parametrize("verdict", ["1e999", '" "', '"RUNNING"', '"\\u001b[2J"', "null"], ids=str)
def test_a_verdict_that_is_none(world: World, verdict: str) -> None:
    """A verdict.json of another form is ignored."""
    run, _ = world.run_to_end("kill -KILL $$")
    record = json.loads((run / "run.json").read_text())
    kept = f'{{"job_id": "{record["job_id"]}", "attempt": 0, "state": {{"state": {verdict}}}}}'
    (run / "verdict.json").write_text(kept)
    assert world.states()[run.name] in ("FAILED", "LOST")


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "../../x"},
        {"token": "a) or (b"},
        {"token": ""},
        {"submitted_at": "yesterday"},
        {"submitted_at": "0001-01-01T00:00:00+14:00"},
        {"backend": "../local"},
        {"backend": "\x1b[2J"},
    ],
    ids=str,
)
def test_a_record_with_words_that_are_none(world: World, fields: dict[str, Any]) -> None:
    """A run.json with wrong types is a damaged record."""
    good, _ = world.run_to_end()
    run, _ = world.run_to_end("exit 1")
    (run / "exit.json").unlink()
    edit(run, **fields)
    assert world.states() == {good.name: "SUCCEEDED", run.name: "LOST"}
    for command in ("cancel", "resume", "logs", "wait", "status"):
        assert "\x1b" not in world.prl(command, run).err


# ------------------------------------------------------------------ another user's runs
@several_users
def test_an_unreadable_run_is_one_line(shared: Shared, eventually: Eventually) -> None:
    mine = shared.running(BOB, eventually)
    theirs = [shared.finished(ALICE) for _ in range(5)]
    theirs[0].chmod(0o700)
    (theirs[1] / "logs").chmod(0o700)
    (theirs[2] / "run.json").chmod(0o600)
    for path in theirs[3].rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    shutil.rmtree(theirs[4] / "logs")
    (theirs[4] / "plan.json").unlink()
    (theirs[4] / "exit.json").unlink()
    (shared.output / "v90-20260101-000000").write_text("a file")
    (shared.output / "v91-20260101-000000").symlink_to("nowhere")
    listed = {item["run"]: item for item in shared.prl(BOB, "list", "--json").json["runs"]}
    assert len(listed) == 8
    assert listed[mine.name]["state"] == "RUNNING"
    assert listed[theirs[1].name]["state"] == "SUCCEEDED"
    for run in (theirs[0], theirs[2], theirs[3]):
        reason = listed[run.name]["reason"]
        assert "cannot be read: Permission denied" in reason
        assert f"uid {ALICE}'s" in reason
    table = shared.prl(BOB, "list")
    assert (table.code, len(table.out.splitlines())) == (0, 9)
    now = shared.prl(BOB, "status")
    assert (now.code, mine.name in now.out) == (0, True)
    assert theirs[0].name in now.err
    for run in theirs:
        assert shared.prl(BOB, "status", run).code == 0
    doctor = shared.prl(BOB, "doctor", "--json")
    assert {check["name"]: check["ok"] for check in doctor.json["checks"]}["output root"] is True
    shared.prl(BOB, "cancel", mine)


@several_users
def test_an_output_root_that_may_not_be_read(shared: Shared) -> None:
    shared.finished(ALICE)
    shared.output.chmod(0o700)
    done = shared.prl(BOB, "list")
    assert done.code == 2
    assert "Permission denied" in done.err
    assert "output root" in shared.prl(BOB, "doctor").out


@several_users
@pytest.mark.parametrize("typist", [BOB, ROOT])
def test_another_users_run_is_neither_resumed_nor_cancelled(
    shared: Shared, eventually: Eventually, typist: int
) -> None:
    """Not even looked at with a trace, by root neither."""
    ended = shared.finished(ALICE, "checkpoint 2 4; step 2 4; exit 1")
    running = shared.running(ALICE, eventually)
    before = snapshot(ended)
    for run, order in ((ended, "resume"), (running, "cancel"), (ended, "cancel")):
        done = shared.prl(typist, order, run)
        assert done.code == 2
        assert f"{run.name} is uid {ALICE}'s" in done.err
        assert "--force-owner" in done.err
    for words in (["list"], ["status", ended], ["logs", ended], ["wait", ended]):
        shared.prl(typist, *words)
    assert snapshot(ended) == before
    assert shared.states(ALICE)[running.name] == "RUNNING"
    assert shared.states(typist)[running.name] == "RUNNING"


@several_users
def test_root_may_force(shared: Shared, eventually: Eventually) -> None:
    ended = shared.finished(ALICE, "checkpoint 2 4; step 2 4; exit 1")
    running = shared.running(ALICE, eventually)
    assert shared.prl(ROOT, "cancel", running, "--force-owner").code == 0
    assert shared.states(ALICE)[running.name] == "CANCELLED"
    done = shared.prl(
        ROOT, "resume", ended, "--force-owner", "--wait", FAKE="checkpoint 4 4; step 4 4"
    )
    assert done.code == 0, done.err


@several_users
def test_a_user_cannot_force(shared: Shared, eventually: Eventually) -> None:
    running = shared.running(ALICE, eventually)
    done = shared.prl(BOB, "cancel", running, "--force-owner")
    assert done.code == 1
    assert f"uid {ALICE}'s" in done.err
    assert shared.states(ALICE)[running.name] == "RUNNING"


@several_users
def test_records_that_another_user_put_into_ones_own_run(shared: Shared) -> None:
    """In a folder that a group may write: the plan's setup lines are whose they are."""
    run = shared.finished(ALICE, "checkpoint 2 4; step 2 4; exit 1")
    os.chown(run / "plan.json", BOB, BOB)
    done = shared.prl(ALICE, "resume", run)
    assert done.code == 2
    assert f"is uid {BOB}'s" in done.err


@several_users
def test_a_pipe_of_another_user_does_not_hold_up_a_submission(shared: Shared) -> None:
    fake = shared.output / "v5-20260101-000000"
    fake.mkdir()
    os.mkfifo(fake / "run.json")
    run = shared.finished(BOB)
    assert run.name.startswith("v6-")
    assert shared.states(BOB)[run.name] == "SUCCEEDED"


@several_users
def test_an_answer_to_a_signal_is_no_proof(shared: Shared) -> None:
    """A process whose variables say another directory: the number of the inode is the run's own."""
    run = shared.finished(ALICE)
    (run / "exit.json").unlink()
    token = json.loads((run / "run.json").read_text())["token"]
    other = os.stat(shared.world.root)
    mark = f"{token}.0.{other.st_dev}.{other.st_ino}"
    argv: list[object] = [*become(ALICE), "setsid", "sleep", "60"]
    stranger = shared.world.popen(argv, PRL_SUBMIT_TOKEN=mark)
    edit(run, process=identity(stranger.pid))
    shared.prl(ALICE, "cancel", run)
    assert lives(stranger)
    stranger.send_signal(signal.SIGKILL)


# ------------------------------------------------------------------ words before a terminal
def on_a_terminal(world: World, *words: object) -> bytes:
    """What a terminal gets from a command, stdout and stderr."""
    ours, theirs = os.openpty()
    argv = [sys.executable, "-m", "prl_submit", *map(str, words)]
    with subprocess.Popen(
        argv, cwd=world.root, env=world.environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: its other side is closed
            while piece := os.read(ours, 1 << 16):
                seen += piece
        process.wait(60)
    os.close(ours)
    return seen


EVIL = "\x1b]0;title\x07\x1b[2J\x9b2J\u202e"


def test_words_of_records_reach_no_terminal(world: World) -> None:
    run, ended = world.run_to_end("exit 3")
    (run / "exit.json").write_text(json.dumps({**ended, "reason": f"a{EVIL}b", "node": EVIL}))
    edit(run, name=EVIL, job_id=EVIL)
    for words in (["wait"], ["cancel"], ["status"], ["status", "--json"], ["logs", "-f"]):
        done = world.prl(words[0], run, *words[1:])
        seen = on_a_terminal(world, words[0], run, *words[1:]).decode()
        for text in (done.out, done.err, seen):
            assert not any(sign in text for sign in ("\x1b]", "\x1b[2J", "\x9b", "\u202e")), words
    assert "FAILED: a" in world.prl("wait", run).err
    assert world.prl("list", "--json").json["runs"][0]["reason"] == f"a{EVIL}b"


def test_logs_are_filtered_on_a_terminal_alone(world: World) -> None:
    run, _ = world.run_to_end()
    log = f"\x1b[31mred\x1b[0m {EVIL}50%\r60%\n".encode()
    (run / "logs" / "node0.log").write_bytes(log)
    assert world.prl("logs", run).out.encode() == log
    assert on_a_terminal(world, "logs", run) == b"\x1b[31mred\x1b[0m 50%\r60%\r\n"


# ------------------------------------------------------------------ specs of others
@several_users
def test_a_spec_shows_nothing_that_its_writer_may_not_read(shared: Shared) -> None:
    """Whoever checks alice's spec may read more than she may, above all root."""
    root = shared.world.root
    private = {uid: root / f"home{uid}" / "private.yaml" for uid in (ROOT, BOB)}
    for uid, path in private.items():
        path.write_text("hunter2:*:20228: 1\nname: s3cret\n")
        path.chmod(0o600)
        os.chown(path, uid, uid)
    base = root / "base.yaml"
    base.write_text("name: shown\n")
    spec = root / "alices.yaml"
    for typist, named in ((ROOT, private[ROOT]), (ROOT, "/etc/shadow"), (BOB, private[BOB])):
        spec.write_text(f"extends: {named}\n")
        os.chown(spec, ALICE, ALICE)
        done = shared.prl(typist, "explain", spec)
        assert done.code == 2
        assert f"cannot read {named}: uid {ALICE}" in done.err
        assert not any(word in done.out + done.err for word in ("hunter2", "s3cret", "root:"))
    spec.write_text(f"extends: {base}\n")
    assert "shown" in shared.prl(BOB, "explain", spec).out
    spec.write_text(f"extends: {private[ROOT]}\n")
    os.chown(spec, ROOT, ROOT)  # root's own spec
    assert "s3cret" in shared.prl(ROOT, "explain", spec).out


@several_users
def test_the_spec_of_another_users_run(shared: Shared) -> None:
    """Where a SPEC is expected a RUN does too: whose setup lines these are is said."""
    run = shared.finished(ALICE)
    done = shared.prl(BOB, "check", run)
    assert done.code == 0, done.err
    assert f"this run is uid {ALICE}'s: its setup lines and plugins would run as you" in done.err
    assert "would run as you" not in shared.prl(ALICE, "check", run).err
    (run / "spec.yaml").unlink()
    os.mkfifo(run / "spec.yaml")
    done = shared.prl(BOB, "check", run)
    assert done.code == 2
    assert "is not a regular file" in done.err


def test_a_base_that_is_a_pipe(world: World) -> None:
    os.mkfifo(world.root / "base.yaml")
    (world.root / "job.yaml").write_text("extends: base.yaml\n")
    done = world.prl("check", "job.yaml")
    assert done.code == 2
    assert "is not a regular file" in done.err


# ------------------------------------------------------------------ a folder that is gone
def test_a_deleted_working_directory(world: World) -> None:
    spec = world.spec()
    world.run_to_end()
    script = world.root / "x.sh"
    script.write_text("swift rlhf --rlhf_type grpo --model m --dataset d\n")
    for words in (
        ["list"],
        ["check", spec],
        ["submit", spec],
        [spec],
        ["status"],
        ["render", spec],
        ["resume", "latest"],
        ["logs", "latest"],
        ["import", script],
        ["doctor"],
        ["doctor", "--json"],
        ["list", "--output-root", world.output],
    ):
        gone = world.root / "gone"
        gone.mkdir()
        steps = f'cd {gone}; rmdir {gone}; exec "$@"'
        argv = ["bash", "-c", steps, "bash", sys.executable, "-m", "prl_submit", *words]
        done = world.finish(world.popen(argv, PYTHONPATH=str(PROJECT)))
        said = done.out + done.err
        if "--output-root" in words:
            assert (done.code, "SUCCEEDED" in done.out) == (0, True), done
        elif words[0] == "doctor":
            assert done.code == 1
            assert "bash" in said
            assert "cd to another folder" in said
        else:
            assert done.code == 2, words
            assert f"{gone} was deleted" in said, (words, said)


# ------------------------------------------------------------------ the run of a platform
@several_users
def test_a_platforms_run_as_others_see_it(shared: Shared, eventually: Eventually) -> None:
    """They see all that its owner sees, and write nothing; the owner keeps what was found."""
    over: dict[str, Any] = {"platform": {"silence": "6s"}, "resources__nproc_per_node": 1}
    world = shared.world
    done = shared.prl(ALICE, world.spec(backend="platform", **over))
    run = Path(done.out.strip())

    def seen(uid: int) -> tuple[str, str]:
        (found,) = shared.prl(uid, "status", run, "--json").json["runs"]
        return found["state"], found["reason"]

    assert seen(BOB)[0] == "QUEUED"
    job = world.popen([*become(ALICE), "bash", run / "launch.sh"], FAKE=LONG, PRL_PREFLIGHT="off")
    eventually(lambda: seen(BOB) == ("RUNNING", f"on {os.uname().nodename}"), 40)
    os.kill(job.pid, signal.SIGKILL)
    world.finish(job)
    eventually(lambda: seen(BOB)[0] == "LOST", 60)
    before = snapshot(run)
    assert seen(BOB)[0] == "LOST"
    assert snapshot(run) == before
    refused = shared.prl(BOB, "cancel", run)
    assert (refused.code, (run / "cancel.json").exists()) == (2, False)
    assert seen(ALICE)[0] == "LOST"
    assert (run / "verdict.json").exists()
    (run / "logs").chmod(0o700)
    (run / "verdict.json").unlink()
    assert "cannot be listed: Permission denied" in seen(BOB)[1]

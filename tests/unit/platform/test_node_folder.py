"""The files by which nodes find each other: what is read, and what is cleared away."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.platform.handshake import NodeAnswer, NodeAsk, NodeHello, Said
from prl_submit.backends.platform.node_folder import NodeFolder, OldFiles, remove_old_files

HELLO = NodeHello(nonce="h0", host="n0", spec="s0")
ASK = NodeAsk(nonce="a1", rank=1, host="节点", keys={"swift.beta": "x"}, to=["h0"])
ANSWER = NodeAnswer(sender="h0", to="a1", run="/输出/v1", token="t", words="好")


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    """A folder that nobody has made yet."""
    return NodeFolder(tmp_path, "place")


def test_what_is_written_is_read(folder: NodeFolder) -> None:
    for said in (HELLO, ASK, ANSWER):
        folder.write(said)
    assert (folder.hellos(), folder.asks()) == ([HELLO], [ASK])
    assert folder.answers("a1") == [ANSWER]
    assert folder.answers("a2") == []


@pytest.mark.parametrize("said", [HELLO, ASK, ANSWER])
def test_what_was_said_can_be_taken_back(folder: NodeFolder, said: Said) -> None:
    folder.write(said)
    folder.remove(said)
    assert os.listdir(folder.path) == []
    folder.leave()
    assert not folder.path.parent.exists()


def test_the_hello_of_another_node_0_stays(folder: NodeFolder) -> None:
    """It stands in the same file, because the first one has ended."""
    other = NodeHello(nonce="h9", host="n9", spec="s0")
    folder.write(other)
    folder.remove(HELLO)
    assert folder.hellos() == [other]


def test_a_folder_that_others_use_stays(folder: NodeFolder) -> None:
    folder.write(ASK)
    folder.leave()
    assert folder.asks() == [ASK]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"nonce": 1}', b"\xff", b"9" * (2 << 20)])
def test_damaged_files_say_nothing(folder: NodeFolder, content: bytes) -> None:
    folder.write(ASK)
    (folder.path / "ask.2.x.json").write_bytes(content)
    (folder.path / "node0.x.json").write_bytes(content)
    assert (folder.hellos(), folder.asks()) == ([], [ASK])


def test_only_regular_files_are_read(folder: NodeFolder, tmp_path: Path) -> None:
    folder.write(HELLO)
    os.mkfifo(folder.path / "ask.1.pipe.json")
    (folder.path / "ask.1.folder.json").mkdir()
    (folder.path / "ask.1.link.json").symlink_to(folder.path / "node0.s0.json")
    (folder.path / ".ask.1.a.json.part").write_bytes(b"{}")
    assert folder.asks() == []


def test_nothing_is_written_through_a_link(folder: NodeFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".nodes").mkdir()
    (tmp_path / ".nodes" / "place").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        folder.write(HELLO)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "said",
    [
        b'{"nonce":"x/../../../e","rank":1,"host":"n","keys":{},"to":["h0"]}',
        b'{"nonce":"","rank":1,"host":"n","keys":{},"to":["h0"]}',
        b'{"nonce":"a\\n","rank":1,"host":"n","keys":{},"to":["h0"]}',
        b'{"nonce":"a1","rank":-1,"host":"n","keys":{},"to":["h0"]}',
    ],
)
def test_an_ask_whose_answer_would_be_written_elsewhere(folder: NodeFolder, said: bytes) -> None:
    folder.write(ASK)
    (folder.path / "ask.2.x.json").write_bytes(said)
    assert folder.asks() == [ASK]


@pytest.mark.parametrize("more", [b'"run":"/v\\u0000"', b'"code":256', b'"code":-1', b'"words":1'])
def test_an_answer_that_no_node_0_gives(folder: NodeFolder, more: bytes) -> None:
    folder.write(ANSWER)
    (folder.path / "answer.a1.h9.json").write_bytes(b'{"sender":"h9","to":"a1",%s}' % more)
    assert folder.answers("a1") == [ANSWER]


def test_texts_are_harmless_on_a_terminal(folder: NodeFolder) -> None:
    folder.write(msgspec.structs.replace(HELLO, host="n\x1b[2J0"))
    folder.write(msgspec.structs.replace(ASK, host="n" * 5000))
    folder.write(msgspec.structs.replace(ANSWER, words="a\x1b]0;title\x07b\nerror: c"))
    assert folder.hellos()[0].host == "n0"
    assert len(folder.asks()[0].host) < 200
    assert folder.answers("a1")[0].words == "ab error: c"


def test_nothing_is_made_or_removed_where_a_link_leads(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "output", tmp_path / "elsewhere"
    root.mkdir()
    (elsewhere / "empty").mkdir(parents=True)
    (root / ".nodes").symlink_to(elsewhere)
    folder = NodeFolder(root, "place")
    with pytest.raises(OSError, match="symbolic link"):
        folder.write(HELLO)
    remove_old_files(root, OldFiles(), 0)
    folder.leave()
    assert os.listdir(elsewhere) == ["empty"]


@pytest.mark.parametrize(
    ("root_mode", "mode"), [(0o2775, 0o1775), (0o1777, 0o1777), (0o755, 0o1755)]
)
def test_all_who_may_make_runs_may_have_jobs_of_several_nodes(
    tmp_path: Path, root_mode: int, mode: int
) -> None:
    """Nobody may remove the folder of another user's job."""
    tmp_path.chmod(root_mode)
    NodeFolder(tmp_path, "place").write(HELLO)
    assert (tmp_path / ".nodes").stat().st_mode & 0o1777 == mode
    assert (tmp_path / ".nodes" / "place").stat().st_mode & 0o22 == 0


# ------------------------------------------------------------------ old files
def test_a_file_that_does_not_change_while_we_look_on_is_old() -> None:
    old, name = OldFiles(), Path("ask")
    found = [old.look({name: b"same"}, now) for now in range(0, 931, 30)]
    assert found == [[]] * 30 + [[name]] * 2


def test_a_living_file_is_never_old() -> None:
    old = OldFiles()
    for now in range(0, 5000, 30):
        changes = {Path("ask"): b"%d" % (now // 600), Path("hello"): b"%d" % now}
        assert old.look(changes, now) == []


def test_a_process_that_did_not_look_on_begins_anew() -> None:
    """It was stopped, or the disk did not answer: then others could not write either."""
    old, name = OldFiles(), Path("ask")
    for now in (0, 30, 60, 3000, 3030):
        assert old.look({name: b"same"}, now) == []


def test_old_files_go_and_living_ones_stay(tmp_path: Path) -> None:
    dead, mixed = NodeFolder(tmp_path, "dead"), NodeFolder(tmp_path, "mixed")
    for folder in (dead, mixed):
        folder.write(ASK)
    for file in tmp_path.glob(".nodes/*/*"):
        os.utime(file, (1 << 31, 1 << 31))  # the time of a file does not matter
    old = OldFiles()
    for now in range(0, 1000, 10):
        mixed.write(NodeHello(nonce="h", host="n", spec="s", beat=now))
        remove_old_files(tmp_path, old, now)
    assert not dead.path.exists()
    assert [path.name for path in mixed.path.iterdir()] == ["node0.s.json"]


def test_a_file_that_changes_at_the_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, old = NodeFolder(tmp_path, "place"), OldFiles()
    folder.write(ASK)
    look = old.look

    def look_and_wake(files: dict[Path, bytes], now: float) -> list[Path]:
        found = look(files, now)
        folder.write(NodeAsk(nonce="a1", rank=1, host="n", keys={}, beat=int(now)))
        return found

    remove_old_files(tmp_path, old, 0)
    for now in range(30, 900, 30):
        remove_old_files(tmp_path, old, now)
    monkeypatch.setattr(old, "look", look_and_wake)
    remove_old_files(tmp_path, old, 900)
    assert len(folder.asks()) == 1

"""prl-submit.toml."""

from __future__ import annotations

import pytest

from prl_submit.errors import SpecError
from prl_submit.spec.profiles import read_profile
from prl_submit.spec.typed import plain


def profile(*texts: str, name: str | None = None) -> object:
    """The plain data of a profile in files named 0.toml, 1.toml, …."""
    files = [(f"{i}.toml", text.encode("utf-8")) for i, text in enumerate(texts)]
    node = read_profile(files, name)
    return None if node is None else plain(node)


def test_types_of_toml() -> None:
    text = (
        '[profile.default]\nbackend = "slurm"\nt = true\ni = 3\nf = 1e-6\nd = 2026-11-22\n'
        'q = "1"\nl = [1, "1"]\n[profile.default.slurm]\npartition = "gpu"\n'
    )
    assert profile(text) == {
        "backend": "slurm",
        "t": True,
        "i": 3,
        "f": 1e-6,
        "d": "2026-11-22",
        "q": "1",
        "l": [1, "1"],
        "slurm": {"partition": "gpu"},
    }


def test_default_is_used_without_a_name_if_there_is_one() -> None:
    assert profile("[profile.default]\na = 1") == {"a": 1}
    assert profile("[profile.other]\na = 1") is None
    assert profile("") is None
    assert profile() is None


def test_the_first_file_wins_key_by_key() -> None:
    project = "[profile.h100]\na = 1\n[profile.h100.m]\nx = 1"
    person = "[profile.h100]\na = 2\nb = 2\n[profile.h100.m]\nx = 2\ny = 2"
    assert profile(project, person, name="h100") == {"a": 1, "b": 2, "m": {"x": 1, "y": 2}}
    assert profile("[profile.z]", person, name="h100") == {"a": 2, "b": 2, "m": {"x": 2, "y": 2}}


def test_origin_is_the_file() -> None:
    node = read_profile([("p.toml", b"[profile.default]\na = 1")], None)
    assert node is not None
    assert isinstance(node.value, dict)
    assert node.value["a"].origin.layer == "profile"
    assert node.value["a"].origin.describe() == "p.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "0.toml: is not TOML: Invalid value"),
        ("[profile.default]\na = 1\na = 2\nb = 3", "is not TOML: .*line 3"),
        ('backend = "slurm"', "0.toml: unknown key 'backend'\nhint: write the values under"),
        ("[profile]\na = 1", "0.toml: 'a' is not a profile\nhint: write .profile.NAME."),
        ("profile = 3", "0.toml: 'profile' is not a profile"),
        ('[profile.default]\na = "\\u0000"', "0.toml: holds a NUL"),
    ],
)
def test_faults(text: str, message: str) -> None:
    """A wrong prl-submit.toml gives a message with the key."""
    with pytest.raises(SpecError, match=message):
        profile(text)


def test_not_utf8() -> None:
    """A prl-submit.toml that is not UTF-8 is refused."""
    with pytest.raises(SpecError, match=r"p\.toml: is not TOML"):
        read_profile([("p.toml", b"\xff")], None)


def test_an_unknown_profile_names_the_known() -> None:
    with pytest.raises(SpecError, match=r"--profile: no profile 'h10' \(0\.toml\)\n.*'h100'\?"):
        profile("[profile.h100]\n[profile.a]", name="h10")
    with pytest.raises(SpecError, match=r"hint: there are: a, b"):
        profile("[profile.b]", "[profile.a]", name="zzz")
    with pytest.raises(SpecError, match=r"no profile 'x' \(no prl-submit\.toml was found\)$"):
        profile(name="x")

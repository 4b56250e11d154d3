"""Find the newest complete checkpoint: every file that a resumed training reads exists and is whole.

launch.sh runs this very file on a node, with the Python of the training's environment. So a restart by the
scheduler continues from the same checkpoint as `resume`. Because of that this file imports only the standard
library and uses nothing newer than Python 3.8.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import Any

#: transformers makes this file in a checkpoint before a save on SIGTERM, and removes it after the save.
MARK = "checkpoint-is-incomplete.txt"
_NAME = re.compile(r"checkpoint-([0-9]+)", re.ASCII)
_ENDINGS = (".safetensors", ".bin", ".pt")
_NOT_WEIGHTS = ("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin")
_MAX_JSON = 500_000_000
#: The limit of the safetensors library for the size of a header.
_MAX_HEADER = 100_000_000
_ZIP, _ZIP_ENTRY, _ZIP_END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_ZIP_END_SIZE = 22
_IN_ZIP64 = 0xFFFFFFFF
#: A part of the weights, such as `model-00001-of-00002.safetensors`. model.safetensors.index.json lists all parts.
_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})(\.safetensors|\.bin)$")
#: A short file of printable text, as a test writes it in place of weights. It is no file that was cut short,
#: because the beginning of a safetensors, zip or pickle file never looks like that.
_STAND_IN = re.compile(rb"(?!P)[\x20-\x7e\n]{1,63}")


class FaultError(Exception):
    """Why a checkpoint is not complete, in words."""


def last_complete(
    run_dir: str, ranks: int, told: list[str]
) -> tuple[str, int, dict[str, Any]] | None:
    """The newest complete checkpoint: its name, its step and its trainer_state.json. None if there is none.

    For each newer checkpoint, a line that says why it is not complete is added to `told`.
    """
    try:
        names = os.listdir(run_dir)
    except OSError:
        return None
    found = [(int(match[1]), name) for name in names if (match := _NAME.fullmatch(name))]
    for step, name in sorted(found, reverse=True):
        folder = os.path.join(run_dir, name)
        if not os.path.isdir(folder):
            continue
        try:
            return name, step, look_at(folder, ranks)
        except FaultError as fault:
            told.append(f"{name}: {fault}")
        except OSError as error:
            told.append(f"{name}: cannot be read: {error.strerror}")
    return None


def look_at(folder: str, ranks: int) -> dict[str, Any]:
    """The trainer_state.json of a checkpoint. Raises FaultError if the checkpoint is not complete, and OSError."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if MARK in names:
        raise FaultError(f"its saving did not come to an end, says {MARK}")
    state = _json(folder, "trainer_state.json")
    if not isinstance(state, dict):
        raise FaultError("trainer_state.json is damaged")
    _check_step(os.path.basename(folder), state)
    scaler = [name for name in names if name == "scaler.pt"]
    for name in [*_random_states(ranks), *_optimizer(folder, names), *scaler]:
        _check(folder, name)
    weights = _weights(folder, names)
    if not weights:
        raise FaultError("has no weights")
    for name in weights:
        _check(folder, name)
    for name in names:
        _check_parts(folder, name, names)
    return state


def _random_states(ranks: int) -> list[str]:
    """The files with the state of each rank's random numbers."""
    return ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]


def _check_parts(folder: str, name: str, names: list[str]) -> None:
    """Raises FaultError for an index whose parts are not complete, and for a part without its index."""
    if name.endswith(".index.json"):
        _check_shards(folder, name)
        return
    match = _SHARD.search(name)
    if match and f"{name[: match.start()]}{match[2]}.index.json" not in names:
        raise FaultError(f"{name} is one of several, and their index is not there")


def _check_step(name: str, state: dict[str, Any]) -> None:
    """Raises FaultError if the number in the folder's name is not the step in trainer_state.json."""
    step = state.get("global_step")
    if step is None:
        return  # there is nothing to compare
    if type(step) is not int or step < 1:
        raise FaultError(f"trainer_state.json has global_step {step!r}")
    match = _NAME.fullmatch(name)
    if match and int(match[1]) != step:
        raise FaultError(f"trainer_state.json is of step {step}")


def _optimizer(folder: str, names: list[str]) -> list[str]:
    """The files with the optimizer's and the scheduler's state."""
    if any(name.startswith("global_step") for name in names):
        return ["latest"]  # DeepSpeed writes it after everything else
    for name in names:  # FSDP2 (accelerate, SHARDED_STATE_DICT): folders; .metadata is written last
        metadata = os.path.join(name, ".metadata")
        if re.match(r"optimizer_[0-9]", name) and _size(folder, metadata):
            return [metadata, *_pieces(folder, name), "scheduler.pt"]
    optimizer = "optimizer.bin" if "optimizer.bin" in names else "optimizer.pt"  # FSDP: .bin
    return [optimizer, "scheduler.pt"]


def _weights(folder: str, names: list[str]) -> list[str]:
    """The files and folders with the weights."""
    found = []
    for name in names:
        if os.path.isdir(os.path.join(folder, name)):
            metadata = os.path.join(name, ".metadata")
            if name.startswith("global_step"):
                found += [name, *_pieces(folder, name)]
            elif re.match(r"pytorch_model_fsdp_[0-9]", name) and os.path.exists(
                os.path.join(folder, metadata)
            ):
                found += [metadata, *_pieces(folder, name)]
        elif name.startswith("global_step") or (
            name.endswith(_ENDINGS) and name not in _NOT_WEIGHTS
        ):
            found.append(name)
    return found


def _pieces(folder: str, inner: str) -> list[str]:
    """The files that the ranks wrote into a folder of the checkpoint: *.pt of DeepSpeed, *.distcp of FSDP2."""
    return [
        os.path.join(inner, name)
        for name in sorted(os.listdir(os.path.join(folder, inner)))
        if name.endswith((".pt", ".distcp"))
    ]


def _check_shards(folder: str, index: str) -> None:
    """Raises FaultError if one of the files that the index lists is not whole."""
    tree = _json(folder, index)
    try:
        names = set(tree["weight_map"].values())
    except (LookupError, AttributeError, TypeError):
        raise FaultError(f"{index} is damaged") from None
    for name in sorted(map(str, names)):
        _check(folder, name)


def _json(folder: str, name: str) -> Any:
    if not 0 < _size(folder, name) <= _MAX_JSON:
        raise FaultError(f"has no {name}, or an empty one")
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return json.loads(file.read(_MAX_JSON))
    except (ValueError, RecursionError):
        raise FaultError(f"{name} is damaged") from None


def _size(folder: str, name: str) -> int:
    """The size of a file in bytes; 0 if it does not exist or is not a regular file."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _check(folder: str, name: str) -> None:
    """Raises FaultError if a file is missing, empty, cut short, or is not of its kind."""
    if os.path.isdir(os.path.join(folder, name)):
        if name.startswith("global_step"):
            return  # each file in it is checked for itself
        raise FaultError(f"{name} is a folder")
    size = _size(folder, name)
    if not size:
        raise FaultError(f"has no {name}, or an empty one")
    with open(os.path.join(folder, name), "rb") as file:
        head = file.read(64)
        if size < 64 and _STAND_IN.fullmatch(head):
            return
        file.seek(0)
        if name.endswith(".safetensors"):
            whole = size == (said := _safetensors_size(file.read, size))
            words = f"{size} bytes, its header says {said or 'nothing'}"
        else:
            whole, words = _is_whole(file, name, head, size), f"{size} bytes"
    if not whole:
        raise FaultError(f"{name} is damaged or cut short ({words})")


def _is_whole(file: Any, name: str, head: bytes, size: int) -> bool:
    if name.endswith((".pt", ".pth", ".bin")):
        return _is_whole_torch(file, head, size)
    if name.endswith(".metadata"):  # a pickle, which ends with the opcode STOP
        file.seek(size - 1)
        return head.startswith(b"\x80") and bool(file.read(1) == b".")
    return True


def _safetensors_size(read: Any, size: int) -> int:
    """The file size that follows from the header; 0 if it is not a header.

    The file has 8 bytes with the length of the header, the header, and the tensors.
    """
    length = int.from_bytes(read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER):
        return 0
    try:
        header = json.loads(read(length))
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
        return 8 + length + int(max(ends, default=0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0


def _is_whole_torch(file: Any, head: bytes, size: int) -> bool:
    """True if a file of torch.save is whole. It is a zip file, whose directory is at its end.

    Old versions of torch, and an option of new ones, write a pickle followed by raw data. Nothing in such a
    file tells its size, so it counts as whole.
    """
    if head.startswith(b"\x80"):
        return True
    if not head.startswith(_ZIP) or size <= _ZIP_END_SIZE:
        return False
    file.seek(size - _ZIP_END_SIZE)
    end = file.read(_ZIP_END_SIZE)
    if not end.startswith(_ZIP_END):
        return False
    begin = int.from_bytes(end[16:20], "little")
    if begin == _IN_ZIP64:
        return True
    file.seek(begin)
    return bool(file.read(4) == _ZIP_ENTRY)


def main(run_dir: str, ranks: int) -> None:
    """Print for launch.sh: `# WHY` for each checkpoint that is not complete, and `NAME STEP MAX_STEPS` of the last complete one."""
    told: list[str] = []
    found = last_complete(run_dir, ranks, told)
    lines = [f"# {line}" for line in told]
    if found is not None:
        name, _, state = found
        numbers = [state.get(key) for key in ("global_step", "max_steps")]
        lines.append(" ".join([name, *(str(n) if isinstance(n, int) else "-" for n in numbers)]))
    sys.stdout.write("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""Files as safetensors and torch write them, made without either, and ways to spoil them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[bytes], bytes]


def safetensors(size: int = 4096) -> bytes:
    """Two tensors."""
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    other = {"dtype": "F32", "shape": [2], "data_offsets": [size, size + 8]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "a.weight": tensor, "b": other})
    header += " " * (-len(header) % 8)
    return (
        len(header).to_bytes(8, "little")
        + header.encode()
        + bytes(range(256)) * (size // 256)
        + bytes(8)
    )


def torch_file(size: int = 4096) -> bytes:
    """What torch.save writes since 1.6: a zip whose files are stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", bytes(size))
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def pickle_file() -> bytes:
    """What torch.save wrote before, and still does when asked to."""
    return b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100)


FILES: dict[str, bytes] = {
    "model.safetensors": safetensors(),
    "optimizer.pt": torch_file(),
    "scheduler.pt": torch_file(16),
    "training_args.bin": torch_file(16),
}


def write_checkpoint(run: Path, step: int, max_steps: int = 10, ranks: int = 1) -> Path:
    """A complete checkpoint."""
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    for rank in range(ranks):
        name = "rng_state.pth" if ranks == 1 else f"rng_state_{rank}.pth"
        (folder / name).write_bytes(torch_file(64))
    state = {"global_step": step, "max_steps": max_steps, "log_history": []}
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2) + "\n")
    return folder


#: What is left of a file: how, and what makes it of the whole.
SPOILT: dict[str, Spoil] = {
    "empty": lambda data: b"",
    "its first block": lambda data: data[: len(data) // 2],
    "all but the last byte": lambda data: data[:-1],
    "its first 5 bytes": lambda data: data[:5],
    "one byte more": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
    "other bytes": lambda data: b"\xff" * len(data),
}

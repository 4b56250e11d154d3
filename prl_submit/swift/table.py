"""The bundled argument tables: every `swift rlhf` argument with its type and choices."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

TABLES = Path(__file__).parent / "tables"
#: The table used; made by tools/make_swift_table.py from the released ms-swift of this version.
NEWEST = "4.6.0"

#: Names that older versions had, with today's (facts checked against ms-swift 3.0 and 4.6.0).
GONE = {
    "num_infer_workers": "vllm_mode (server or colocate) and vllm_tensor_parallel_size",
    "vllm_device": "vllm_mode",
    "gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "tensor_parallel_size": "vllm_tensor_parallel_size",
    "train_type": "tuner_type",
    "sft_type": "tuner_type",
    "use_lmdeploy": "use_vllm",
    "multi_turn_func": "multi_turn_scheduler",
}


class Argument(Struct, frozen=True):
    """One argument. `kind`: int, float, bool, str or json; `many`: takes several words."""

    kind: str
    many: bool
    choices: tuple[str, ...]


def load_table(version: str = NEWEST) -> dict[str, Argument]:
    """Arguments by name. Raises FileNotFoundError for a version that is not bundled."""
    raw = (TABLES / f"{version}.json").read_bytes()
    table = msgspec.json.decode(raw, type=dict[str, list[str | list[str]]])
    return {name: _argument(entry) for name, entry in table.items()}


def _argument(entry: list[str | list[str]]) -> Argument:
    choices = entry[2] if len(entry) > 2 else ()
    return Argument(str(entry[0]), len(entry) > 1 and entry[1] == "+", tuple(choices))

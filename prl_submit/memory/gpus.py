"""The memory in MiB of the GPUs that `resources.gpu_type` may name, as nvidia-smi prints it.

H200 to T4: measured by Modal (thundergolfer.com/blog/nvidia-gpu-memory-capacity). Others: what
nvidia-smi prints in public logs. A name that stands for several sizes has all of them.
"""

from __future__ import annotations

_MIB: dict[str, tuple[int, ...]] = {
    "a10": (23028,),
    "a10g": (23028,),
    "a40": (46068,),
    "a100": (40960, 81920),
    "a800": (40960, 81920),
    "b200": (183359,),
    "b300": (275040,),
    "gh200": (97871, 147456),
    "h20": (97871, 143771),
    "h100": (81559,),
    "h100nvl": (95830,),
    "h200": (143771,),
    "h800": (81559,),
    "l4": (23034,),
    "l20": (46068,),
    "l40": (46068,),
    "l40s": (46068,),
    "rtx3090": (24576,),
    "rtx4090": (24564,),
    "rtx5090": (32607,),
    "rtxa6000": (49140,),
    "a6000": (49140,),
    "t4": (15360,),
    "v100": (16384, 32768),
}


def gpu_sizes(gpu_type: str) -> tuple[int, ...]:
    """The sizes in MiB that a type may have, in ascending order; empty if the type is not known.

    Understands Slurm's types and nvidia-smi's product names: `a100`, `h100_sxm`, `a100-80gb`,
    `NVIDIA-A100-SXM4-80GB`, `Tesla-V100-SXM2-16GB`.
    """
    plain = "".join(char if char.isalnum() else " " for char in gpu_type.lower())
    words = [word for word in plain.split() if word not in _MAKERS]
    starts = ["".join(words[:count]) for count in (1, 2)]
    found = [name for name in _MIB if any(_begins(start, name) for start in starts)]
    if not found:
        return ()
    name = max(found, key=len)
    sizes = _MIB[name]
    # Marketing's 80 GB is 79.6 to 80 GiB: the nearest of the sizes, where one is near.
    for word in words:
        number = word.rstrip("gib")
        if number != word and number.isdecimal():
            wanted = int(number) * 1024
            return tuple(mib for mib in sizes if abs(mib - wanted) < wanted / 8) or sizes
    return sizes


_MAKERS = frozenset(("nvidia", "tesla", "geforce", "quadro", "gpu"))


def _begins(start: str, name: str) -> bool:
    """True if a type such as `h100sxm` is the GPU `h100`. `a1000` is not an a100, and `l40s` is another GPU than l40."""
    rest = start.removeprefix(name)
    return start == name or (rest != start and rest[0].isalpha())

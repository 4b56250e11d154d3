"""The node labels of a `resources.gpu_type`.

Kubernetes has no standard label for the type of a GPU. NVIDIA's GPU feature discovery sets
`nvidia.com/gpu.product` (nvidia-smi's name with '-' instead of blanks); Google's GKE sets its own label.
"""

from __future__ import annotations

from typing import Any

PRODUCT = "nvidia.com/gpu.product"
GKE = "cloud.google.com/gke-accelerator"

#: For each short name: nvidia-smi's product names, and GKE's names (from GKE's documentation of GPUs).
_TYPES: dict[str, tuple[list[str], list[str]]] = {
    "a10": (["NVIDIA-A10", "NVIDIA-A10G"], []),
    "a100": (
        [
            "NVIDIA-A100-SXM4-40GB",
            "NVIDIA-A100-SXM4-80GB",
            "NVIDIA-A100-PCIE-40GB",
            "NVIDIA-A100-80GB-PCIe",
            "NVIDIA-A100-PCIe-80GB",
        ],
        ["nvidia-tesla-a100", "nvidia-a100-80gb"],
    ),
    "a800": (["NVIDIA-A800-SXM4-80GB", "NVIDIA-A800-80GB-PCIe"], []),
    "b200": (["NVIDIA-B200"], ["nvidia-b200"]),
    "h100": (
        ["NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL"],
        ["nvidia-h100-80gb", "nvidia-h100-mega-80gb"],
    ),
    "h20": (["NVIDIA-H20", "NVIDIA-H20-3e"], []),
    "h200": (["NVIDIA-H200", "NVIDIA-H200-NVL"], ["nvidia-h200-141gb"]),
    "h800": (["NVIDIA-H800", "NVIDIA-H800-PCIe"], []),
    "l4": (["NVIDIA-L4"], ["nvidia-l4"]),
    "l40": (["NVIDIA-L40"], []),
    "l40s": (["NVIDIA-L40S"], []),
    "t4": (["Tesla-T4"], ["nvidia-tesla-t4"]),
    "v100": (
        ["Tesla-V100-SXM2-16GB", "Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-16GB"],
        ["nvidia-tesla-v100"],
    ),
}


def affinity(gpu_type: str) -> dict[str, Any]:
    """A node affinity that requires one of the type's labels.

    `gpu_type`: a short name of the table above, or the value of a label in full.
    """
    products, accelerators = _TYPES.get(gpu_type.lower(), ([gpu_type], [gpu_type]))
    terms = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": values}]}
        for key, values in ((PRODUCT, products), (GKE, accelerators))
        if values
    ]
    required = {"nodeSelectorTerms": terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}

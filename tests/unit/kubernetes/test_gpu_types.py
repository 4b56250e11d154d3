"""`resources.gpu_type` as a node affinity."""

from __future__ import annotations

import pytest

from prl_submit.backends.kubernetes.gpu_types import GKE, PRODUCT, affinity


def terms(gpu_type: str) -> dict[str, list[str]]:
    """The values that the affinity accepts for each label."""
    required = affinity(gpu_type)["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    found = {}
    for term in required["nodeSelectorTerms"]:
        [expression] = term["matchExpressions"]  # several in one term would all be demanded
        assert expression["operator"] == "In"
        found[expression["key"]] = expression["values"]
    return found


@pytest.mark.parametrize(
    ("gpu_type", "product", "gke"),
    [
        ("h100", "NVIDIA-H100-80GB-HBM3", "nvidia-h100-80gb"),
        ("H100", "NVIDIA-H100-80GB-HBM3", "nvidia-h100-80gb"),
        ("a100", "NVIDIA-A100-SXM4-80GB", "nvidia-a100-80gb"),
        ("l4", "NVIDIA-L4", "nvidia-l4"),
        ("v100", "Tesla-V100-SXM2-32GB", "nvidia-tesla-v100"),
        ("NVIDIA-RTX-A6000", "NVIDIA-RTX-A6000", "NVIDIA-RTX-A6000"),
        ("nvidia-l4", "nvidia-l4", "nvidia-l4"),
    ],
)
def test_both_labels(gpu_type: str, product: str, gke: str) -> None:
    """A GPU type is looked for by NVIDIA's label and by GKE's."""
    found = terms(gpu_type)
    assert list(found) == [PRODUCT, GKE]
    assert product in found[PRODUCT]
    assert gke in found[GKE]


def test_a_type_that_one_of_them_has_not_leaves_no_empty_term() -> None:
    assert terms("h800") == {PRODUCT: ["NVIDIA-H800", "NVIDIA-H800-PCIe"]}


def test_a_short_name_is_no_other_types() -> None:
    assert not set(terms("h200")[PRODUCT]) & set(terms("h20")[PRODUCT])
    assert terms("l40")[PRODUCT] == ["NVIDIA-L40"]

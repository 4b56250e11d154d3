"""Check whether all pods of a job fit into a namespace's quotas."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from prl_submit.backends.kubernetes.quota import Quota, QuotaList, exceeded, parse_quantity

GPU = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("4", 4),
        ("500m", Fraction(1, 2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1k", 1000),
        ("2M", 2 * 10**6),
        ("3G", 3 * 10**9),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1Ei", 2**60),
        ("1E", 10**18),
        ("2e3", 2000),
        ("2E3", 2000),
        ("100n", Fraction(1, 10**7)),
        ("5u", Fraction(5, 10**6)),
        ("-1", -1),
    ],
)
def test_quantities(text: str, number: Fraction) -> None:
    """Kubernetes' quantities are read exactly."""
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "x", "Gi", "m", "1Gb", "1 G i"])
def test_no_quantities(text: str) -> None:
    """What is no quantity raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_quantity(text)


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Quota:
    """A ResourceQuota, decoded."""
    raw = {
        "metadata": {"name": "team", "namespace": "ml"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }
    return msgspec.convert(raw, type=Quota)


def container(**amounts: str) -> dict[str, Any]:
    """A container with requests equal to its limits, as prl-submit makes them."""
    resources = {{"gpu": GPU}.get(name, name): amount for name, amount in amounts.items()}
    return {"name": "pytorch", "resources": {"requests": resources, "limits": dict(resources)}}


@pytest.mark.parametrize(
    ("hard", "used", "fits"),
    [
        ({f"requests.{GPU}": "16"}, {}, True),
        ({f"requests.{GPU}": "16"}, {f"requests.{GPU}": "0"}, True),
        ({f"requests.{GPU}": "16"}, {f"requests.{GPU}": "1"}, False),
        ({f"requests.{GPU}": "15"}, {}, False),
        ({"pods": "2"}, {}, True),
        ({"pods": "2"}, {"pods": "1"}, False),
        ({"count/pods": "1"}, {}, False),
        ({"cpu": "64"}, {}, True),
        ({"cpu": "63999m"}, {}, False),
        ({"requests.cpu": "64", "limits.cpu": "63"}, {}, False),
        ({"memory": "512Gi"}, {}, True),
        ({"limits.memory": "512Gi"}, {"limits.memory": "1"}, False),
        ({"requests.storage": "0", "services": "0", "limits.amd.com/gpu": "0"}, {}, True),
    ],
)
def test_two_pods(hard: dict[str, str], used: dict[str, str], fits: bool) -> None:
    """A quota must have room for all pods of the job."""
    wanted = container(gpu="8", cpu="32", memory="256Gi")
    assert (exceeded(wanted, 2, [quota(hard, used)]) is None) is fits


def test_in_words() -> None:
    """An exceeded quota says what is asked for, used and allowed."""
    hard = {"pods": "9", f"requests.{GPU}": "8", "requests.memory": "300Gi", "cpu": "1"}
    used = {f"requests.{GPU}": "4", "cpu": "500m"}
    wanted = container(gpu="4", cpu="250m", memory="256Gi")
    refusal = exceeded(wanted, 3, [quota({"pods": "9"}), quota(hard, used)])
    assert refusal is not None
    assert refusal.key == "resources"
    assert refusal.message == (
        "quota team of the namespace is exceeded: "
        f"requested requests.{GPU}=12,requests.memory=768Gi,cpu=0.75, "
        f"used requests.{GPU}=4,requests.memory=0,cpu=500m, "
        f"hard requests.{GPU}=8,requests.memory=300Gi,cpu=1"
    )
    assert (refusal.hint or "").endswith("kubectl describe quota team")


def test_memory_in_words() -> None:
    for each, text in (("1536Mi", "3Gi"), ("768Mi", "1536Mi"), ("1k", "2000")):
        refusal = exceeded(container(memory=each), 2, [quota({"requests.memory": "1"})])
        assert f"requested requests.memory={text}," in (refusal.message if refusal else "")


def test_limits_alone_are_requests_too() -> None:
    """The API server takes the limit for a request that is not given."""
    alone = {"resources": {"limits": {"amd.com/gpu": 8}}}
    assert exceeded(alone, 2, [quota({"requests.amd.com/gpu": "15"})]) is not None
    lower = {"resources": {"limits": {"cpu": "8"}, "requests": {"cpu": "1"}}}
    assert exceeded(lower, 2, [quota({"cpu": "2"})]) is None


@pytest.mark.parametrize("resources", [None, {}, {"limits": None}])
def test_a_container_that_asks_for_nothing(resources: Any) -> None:
    """A container without requests needs nothing of a quota but a pod."""
    assert exceeded({"resources": resources}, 2, [quota({"cpu": "0", "pods": "2"})]) is None


def test_quotas_with_scopes_are_skipped() -> None:
    none = {"pods": "0"}
    selector = {"matchExpressions": [{"operator": "In", "scopeName": "PriorityClass"}]}
    scoped = [quota(none, scopes=["BestEffort"]), quota(none, scopeSelector=selector)]
    assert exceeded(container(cpu="1"), 2, scoped) is None
    assert exceeded(container(cpu="1"), 2, [*scoped, quota(none)]) is not None


def test_a_new_quota_without_a_status() -> None:
    raw = b'{"items": [{"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}, "status": {}}]}'
    quotas = msgspec.json.decode(raw, type=QuotaList).items or []
    assert exceeded(container(cpu="1"), 2, quotas) is None

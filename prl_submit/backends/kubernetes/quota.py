"""Check whether all pods of a job fit into a namespace's quotas.

The API server checks this for one pod only, when prl-submit asks it with a dry run.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from prl_submit.backends.kubernetes.objects import ObjectMeta
from prl_submit.backends.kubernetes.refusals import quota_refusal
from prl_submit.errors import Refusal

_BINARY = {suffix: 1024 ** (i + 1) for i, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


class QuotaSpec(Struct, frozen=True):
    """Of a quota's spec, its scopes. A quota with scopes counts only some pods of the namespace."""

    scopes: list[str] | None = None
    scopeSelector: dict[str, Any] | None = None  # noqa: N815  # Kubernetes' own name


class QuotaStatus(Struct, frozen=True):
    """The limit and the present use of each resource: `requests.cpu` -> `500m`."""

    hard: dict[str, str] | None = None
    used: dict[str, str] | None = None


class Quota(Struct, frozen=True):
    """A ResourceQuota."""

    metadata: ObjectMeta
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class QuotaList(Struct, frozen=True):
    """The answer to a list of ResourceQuotas."""

    items: list[Quota] | None = None


def parse_quantity(text: str) -> Fraction:
    """A quantity of Kubernetes as an exact number: `500m`, `4`, `1Gi`, `2e3`. Raises ValueError."""
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * Fraction(factor)
    if text and text[-1] in _DECIMAL:
        return Fraction(text[:-1]) * _power(_DECIMAL[text[-1]])
    return Fraction(text)


def _power(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10 ** abs(exponent))


def exceeded(
    container: dict[str, Any], nodes: int, quotas: Sequence[Quota], *, used_counts: bool = True
) -> Refusal | None:
    """The refusal for the first quota that is too small for `nodes` pods with such a container.

    Quotas with scopes are skipped. `used_counts` false: the job waits in a queue until others have
    released what they use, so only the quota's limit counts.
    """
    for quota in quotas:
        if not (quota.spec.scopes or quota.spec.scopeSelector):
            used = quota.status.used or {} if used_counts else {}
            refusal = _exceeded(container, nodes, quota, used)
            if refusal is not None:
                return refusal
    return None


def _exceeded(
    container: dict[str, Any], nodes: int, quota: Quota, used: dict[str, str]
) -> Refusal | None:
    hard = quota.status.hard or {}
    wanted = {name: nodes * amount for name, amount in _wanted_by_pod(container).items()}
    over = [
        name
        for name, limit in hard.items()
        if name in wanted
        and wanted[name] + parse_quantity(used.get(name, "0")) > parse_quantity(limit)
    ]
    if not over:
        return None
    return quota_refusal(
        quota.metadata.name,
        _listed({name: _text(name, wanted[name]) for name in over}),
        _listed({name: used.get(name, "0") for name in over}),
        _listed({name: hard[name] for name in over}),
    )


def _wanted_by_pod(container: dict[str, Any]) -> dict[str, Fraction]:
    """How much of each resource that quotas count a pod with this container asks for."""
    wanted = {"pods": Fraction(1), "count/pods": Fraction(1)}
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    # The API server takes the limit for a request that is not given.
    requests = {**limits, **(resources.get("requests") or {})}
    for kind, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            quantity = parse_quantity(str(amount))
            wanted[f"{kind}.{name}"] = quantity
            if kind == "requests" and name in ("cpu", "memory"):
                wanted[name] = quantity
    return wanted


def _text(name: str, amount: Fraction) -> str:
    """The amount as Kubernetes writes it: memory in Gi or Mi where that is exact."""
    if "memory" in name and amount % 1024**2 == 0:
        return f"{amount / 1024**3}Gi" if amount % 1024**3 == 0 else f"{amount / 1024**2}Mi"
    return str(amount) if amount.denominator == 1 else f"{float(amount):g}"


def _listed(amounts: dict[str, str]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in amounts.items())

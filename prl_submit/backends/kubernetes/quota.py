"""Whether all pods of a job fit into a namespace's quotas: a dry run asks for one pod alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from prl_submit.backends.kubernetes.refusals import quota_refusal
from prl_submit.errors import Refusal

_BINARY = {suffix: 1024 ** (i + 1) for i, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


class Meta(Struct, frozen=True):
    """Of the metadata, the name."""

    name: str = ""


class QuotaSpec(Struct, frozen=True):
    """A quota with scopes counts some pods only."""

    scopes: list[str] | None = None
    scopeSelector: dict[str, Any] | None = None  # noqa: N815  # Kubernetes' own name


class QuotaStatus(Struct, frozen=True):
    """Quantities by resource."""

    hard: dict[str, str] | None = None
    used: dict[str, str] | None = None


class Quota(Struct, frozen=True):
    """A ResourceQuota."""

    metadata: Meta
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class QuotaList(Struct, frozen=True):
    """An answer with quotas."""

    items: list[Quota] | None = None


def parse_quantity(text: str) -> Fraction:
    """A quantity of Kubernetes as a number: `500m`, `4`, `1Gi`, `2e3`. Raises ValueError."""
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
    """The first quota that `nodes` pods with such a container do not fit into.

    `used_counts` false: what others use now will be free when its turn comes.
    """
    wanted = _wanted(container)
    for quota in quotas:
        if quota.spec.scopes or quota.spec.scopeSelector:
            continue
        hard, used = quota.status.hard or {}, (quota.status.used or {}) if used_counts else {}
        over = [
            name
            for name, limit in hard.items()
            if name in wanted
            and nodes * wanted[name] + parse_quantity(used.get(name, "0")) > parse_quantity(limit)
        ]
        if over:
            return quota_refusal(
                quota.metadata.name,
                _listed({name: _text(name, nodes * wanted[name]) for name in over}),
                _listed({name: used.get(name, "0") for name in over}),
                _listed({name: hard[name] for name in over}),
            )
    return None


def _wanted(container: dict[str, Any]) -> dict[str, Fraction]:
    """What one pod asks of each resource that quotas count."""
    wanted = {"pods": Fraction(1), "count/pods": Fraction(1)}
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}  # as the API server completes them
    for kind, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            quantity = parse_quantity(str(amount))
            wanted[f"{kind}.{name}"] = quantity
            if kind == "requests" and name in ("cpu", "memory"):
                wanted[name] = quantity
    return wanted


def _text(name: str, amount: Fraction) -> str:
    if "memory" in name and amount % 1024**2 == 0:
        return f"{amount / 1024**3}Gi" if amount % 1024**3 == 0 else f"{amount / 1024**2}Mi"
    return str(amount) if amount.denominator == 1 else f"{float(amount):g}"


def _listed(amounts: dict[str, str]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in amounts.items())

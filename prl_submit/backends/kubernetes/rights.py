"""The rights that prl-submit needs in a namespace, and which of them an account lacks.

docs/kubernetes.md has them as a Role.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError


class Rule(Struct, frozen=True):
    """Verbs on a resource of the namespace. `why`: what the user cannot do without them."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str


RULES = (
    Rule("kubeflow.org", "pytorchjobs", ("create", "get", "list", "delete"), "everything"),
    Rule("", "pods", ("list",), "reasons and logs"),
    Rule("", "pods/log", ("get",), "logs"),
    Rule("", "events", ("list",), "why a job waits"),
    Rule(
        "", "resourcequotas", ("list",), "quotas of jobs with several nodes, before they are made"
    ),
    Rule(
        "", "pods", ("create", "get", "delete"), "collect, and what quotas say before a job is made"
    ),
    Rule("", "pods/exec", ("create", "get"), "collect"),
    Rule("", "pods", ("watch",), "how pods ended that have gone"),
)


def in_words(lacking: Sequence[tuple[Rule, str]]) -> str:
    """`create, get pods (collect); list events (why a job waits)`."""
    verbs: dict[Rule, list[str]] = {}
    for rule, verb in lacking:
        verbs.setdefault(rule, []).append(verb)
    return "; ".join(f"{', '.join(verbs[rule])} {rule.resource} ({rule.why})" for rule in verbs)


#: The rights to submit a job, read its state and logs, and cancel it.
TO_FOLLOW = RULES[:3]


class _Outcome(Struct, frozen=True):
    allowed: bool = False


class _Review(Struct, frozen=True):
    status: _Outcome = _Outcome()


def missing(api: Api, rules: Sequence[Rule] = RULES) -> list[tuple[Rule, str]]:
    """The verbs that the account lacks, by one SelfSubjectAccessReview each. Raises as Api.create."""
    return [(rule, verb) for rule in rules for verb in rule.verbs if not _may(api, rule, verb)]


def _may(api: Api, rule: Rule, verb: str) -> bool:
    resource, _, subresource = rule.resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": api.namespace,
                "verb": verb,
                "group": rule.group,
                "resource": resource,
                "subresource": subresource,
            }
        },
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return msgspec.json.decode(api.create(path, review), type=_Review).status.allowed


def knows_pytorchjobs(api: Api) -> bool:
    """True if the cluster has the kind PyTorchJob, which every account may ask. Raises as Api.get."""
    try:
        return b'"pytorchjobs"' in api.get("/apis/kubeflow.org/v1")
    except RefusedStatusError as error:
        if error.status.code == 404:
            return False
        raise

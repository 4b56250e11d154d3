"""What an account needs to be allowed: the Role of docs/kubernetes.md, and whether it has it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError


class Rule(Struct, frozen=True):
    """Verbs on a kind of the namespace; `why`: what does not work without them."""

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
    rules = dict.fromkeys(rule for rule, _ in lacking)
    verbs = {rule: ", ".join(verb for each, verb in lacking if each == rule) for rule in rules}
    return "; ".join(f"{verbs[rule]} {rule.resource} ({rule.why})" for rule in rules)


#: Without these a job can be made, and neither followed nor ended.
TO_FOLLOW = RULES[:3]


class _Outcome(Struct, frozen=True):
    allowed: bool = False


class _Review(Struct, frozen=True):
    status: _Outcome = _Outcome()


def missing(api: Api, rules: Sequence[Rule] = RULES) -> list[tuple[Rule, str]]:
    """The verbs that the account lacks (SelfSubjectAccessReview). Raises as Api.create."""
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
    """Whether the operator's kinds are there; every account may ask. Raises as Api.get."""
    try:
        return b'"pytorchjobs"' in api.get("/apis/kubeflow.org/v1")
    except RefusedStatusError as error:
        if error.status.code == 404:
            return False
        raise

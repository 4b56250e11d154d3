"""The rights that `doctor` asks for are those of the Role that the documentation shows."""

from __future__ import annotations

from pathlib import Path

import yaml

from prl_submit.backends.kubernetes.rights import RULES

DOCS = Path(__file__).resolve().parents[3] / "docs"


def pairs(role: dict[str, list[dict[str, list[str]]]]) -> set[tuple[str, str, str]]:
    """The group, resource and verb of all its rules."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


ASKED = {(rule.group, rule.resource, verb) for rule in RULES for verb in rule.verbs}


def test_the_role_is_what_is_asked_for() -> None:
    role = yaml.safe_load((DOCS / "kubernetes" / "role.yaml").read_text("utf-8"))
    assert (role["kind"], role["metadata"]["name"]) == ("Role", "prl-submit")
    assert pairs(role) == ASKED


def test_the_page_shows_the_same_role() -> None:
    page = (DOCS / "kubernetes.md").read_text("utf-8")
    [shown] = [text for text in page.split("```yaml\n")[1:] if text.startswith("apiVersion: rbac")]
    assert pairs(yaml.safe_load(shown.partition("```")[0])) == ASKED


def test_nothing_is_asked_for_twice_and_each_says_what_for() -> None:
    each = [(rule.group, rule.resource, verb) for rule in RULES for verb in rule.verbs]
    assert len(each) == len(set(each))
    assert all(rule.why for rule in RULES)


def test_no_rights_that_reach_further() -> None:
    """No right to Secrets, none to change existing objects, and no wildcard."""
    assert {verb for _, _, verb in ASKED} == {"create", "get", "list", "watch", "delete"}
    assert {"secrets", "*"}.isdisjoint(resource for _, resource, _ in ASKED)

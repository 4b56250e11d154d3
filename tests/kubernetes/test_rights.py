"""The documented Role is enough for all commands, and each of its rights is needed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prl_submit.backends.kubernetes.rights import RULES
from tests.conftest import PROJECT
from tests.kubernetes.conftest import KubernetesWorld
from tests.kubernetes.proxy import starting
from tests.support.streams import read_until

ROLE = PROJECT / "docs" / "kubernetes" / "role.yaml"
Rules = list[dict[str, Any]]


def role() -> Rules:
    rules = yaml.safe_load(ROLE.read_bytes())["rules"]
    assert isinstance(rules, list)
    return rules


def without(verb: str, resource: str) -> Rules:
    """The Role without one verb on one resource."""
    found = []
    for rule in role():
        for name in rule["resources"]:
            verbs = [each for each in rule["verbs"] if (each, name) != (verb, resource)]
            found.append({"apiGroups": rule["apiGroups"], "resources": [name], "verbs": verbs})
    return [rule for rule in found if rule["verbs"]]


def use(world: KubernetesWorld, rules: Rules) -> None:
    """Continue as an account that has only these rights."""
    config = world.cluster.service_account(world.namespace, "user", rules)
    world.environ["KUBECONFIG"] = str(config)


def test_documentation_shows_the_file() -> None:
    text = (PROJECT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [shown] = [
        block
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        if "kind: Role" in block
    ]
    assert yaml.safe_load(shown) == yaml.safe_load(ROLE.read_bytes())


def test_doctor_asks_for_the_same() -> None:
    documented = {
        (group, resource, verb)
        for rule in role()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = {(rule.group, rule.resource, verb) for rule in RULES for verb in rule.verbs}
    assert asked == documented


def test_everything_works_with_it(kube_apart: KubernetesWorld) -> None:
    world = kube_apart
    use(world, role())
    doctor = world.prl("doctor").out
    assert re.search(r"^ok +Kubernetes +namespace test-", doctor, re.MULTILINE), doctor
    online = world.prl("check", world.spec(), "--online")
    assert online.code == 0, online.err
    first, status = world.run_to_end("echo one; step 1 1")
    assert status["state"] == "SUCCEEDED"
    assert "one\n" in world.prl("logs", first).out
    collected = world.prl("collect", first)
    assert collected.code == 0, collected.err
    assert (first / "logging.jsonl").read_bytes() == (
        world.volume / first.name / "logging.jsonl"
    ).read_bytes()
    second = world.submit("step 1 2; sleep 60", resources__nodes=2)
    world.wait_for(second, "RUNNING")
    done = world.prl("cancel", second)
    assert done.code == 0, done.err
    assert "CANCELLED" in done.out


def submitting(world: KubernetesWorld, run: Path) -> str:
    done = world.prl(world.spec())
    assert done.code == 1
    return done.err


def asking(world: KubernetesWorld, run: Path) -> str:
    done = world.prl("status", run)
    assert done.code == 4
    return done.out + done.err


def reading(world: KubernetesWorld, run: Path) -> str:
    return world.prl("logs", run).err


def following(world: KubernetesWorld, run: Path) -> str:
    """`logs -f` reports it at once, not when the job has ended."""
    process = world.start("logs", run, "-f")
    said = read_until(process.stderr, " may not ")
    process.terminate()
    return said + world.finish(process).err


def cancelling(world: KubernetesWorld, run: Path) -> str:
    done = world.prl("cancel", run)
    assert done.code == 1
    return done.err


def collecting(world: KubernetesWorld, run: Path) -> str:
    done = world.prl("collect", run)
    assert done.code == 1
    return done.err


@pytest.mark.parametrize(
    ("verb", "resource", "do"),
    [
        ("create", "pytorchjobs", submitting),
        ("list", "pytorchjobs", asking),
        ("delete", "pytorchjobs", cancelling),
        ("list", "pods", reading),
        ("get", "pods/log", reading),
        ("get", "pods/log", following),
    ],
)
def test_message_names_the_verb(
    kube_apart: KubernetesWorld,
    verb: str,
    resource: str,
    do: Callable[[KubernetesWorld, Path], str],
) -> None:
    run = kube_apart.submit("step 1 2; sleep 60")
    kube_apart.wait_for(run, "RUNNING")
    use(kube_apart, without(verb, resource))
    assert f" may not {verb} {resource}" in do(kube_apart, run)


@pytest.mark.parametrize(
    ("verb", "resource"), [("create", "pods"), ("get", "pods"), ("create", "pods/exec")]
)
def test_collect_names_the_verb(kube_apart: KubernetesWorld, verb: str, resource: str) -> None:
    run, _ = kube_apart.run_to_end()
    if (verb, resource) == ("create", "pods/exec"):
        rules = [rule for rule in role() if rule["resources"] != ["pods/exec"]]
    else:
        rules = without(verb, resource)
    use(kube_apart, rules)
    said = collecting(kube_apart, run)
    assert re.search(rf" may not ({verb}|get) {resource}", said), said


def test_an_event_that_may_not_be_listed(kube: KubernetesWorld) -> None:
    kube.cluster.stop_operator()
    run = kube.submit()
    use(kube, without("list", "events"))
    assert " may not list events" in kube.status(run)["reason"]


def test_refusals_of_a_server_that_has_just_started_are_retried(kube: KubernetesWorld) -> None:
    """Until the server has read its roles, it refuses /readyz too; that distinguishes a start from missing rights."""
    with starting(kube.kubeconfig, 4) as requests:
        run = kube.submit("echo hello; step 1 2; sleep 60")
        assert any(line == "GET /readyz" for line in requests)
    kube.wait_for(run, "RUNNING")
    for words in (["status", run], ["logs", run], ["cancel", run]):
        with starting(kube.kubeconfig, 3):
            done = kube.prl(*words)
        assert done.code == 0, done.err
        assert "may not" not in done.out + done.err
    assert kube.status(run)["state"] == "CANCELLED"


def test_refusals_of_a_restarted_server_count_once_it_is_ready(kube: KubernetesWorld) -> None:
    """A real API server, asked again and again while it starts."""
    run = kube.submit("step 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    use(kube, role())
    kube.cluster.stop_api()
    starter = threading.Thread(target=kube.cluster.start_api)
    starter.start()
    codes = set()
    while starter.is_alive():
        done = kube.prl("status", run)
        codes.add(done.code)
        assert "may not" not in done.out + done.err
    starter.join()
    assert kube.prl("status", run).code == 0
    assert codes <= {0, 4}


def test_missing_rights_are_asked_twice_without_waiting(kube: KubernetesWorld) -> None:
    run = kube.submit("step 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    use(kube, without("list", "pytorchjobs"))
    done = kube.prl("status", run)
    assert done.code == 4
    assert " may not list pytorchjobs" in done.err

"""Tests on a real Kubernetes API: one cluster for the whole session, a namespace for each world."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import World, eventually
from tools.clusters.kubernetes import KubernetesCluster

HERE = Path(__file__).parent
IMAGE = "registry.example/ms-swift:4.6.0"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one that needs a Kubernetes API."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


class KubernetesWorld(World):
    """A world whose jobs go to a namespace of a Kubernetes cluster.

    Its folder is a hostPath volume of the pods, at the same path: the submitter and the pods share
    it. `apart`: the pods' output root is another folder, which the submitter does not look into.
    """

    def __init__(self, root: Path, cluster: KubernetesCluster, *, apart: bool = False) -> None:
        super().__init__(root)
        self.cluster = cluster
        self.namespace = cluster.new_namespace()
        self.kubeconfig = root / "kubeconfig"
        cluster.write_kubeconfig(self.kubeconfig, self.namespace)
        self.environ |= {"KUBECONFIG": str(self.kubeconfig)}
        self.volume = root / "volume" if apart else self.output
        self.volume.mkdir()
        self.volume.chmod(0o777)
        self.output.mkdir(exist_ok=True)

    def spec(self, file: str = "job.yaml", **over: Any) -> Path:
        """Write a job spec for Kubernetes."""
        volumes = [{"name": "output", "hostPath": str(self.volume), "mountPath": str(self.output)}]
        mine = {"backend": "kubernetes", "kubernetes__image": IMAGE, "kubernetes__volumes": volumes}
        return super().spec(file, **mine | over)

    def submit(self, fake: str = "step 1 1", *words: object, **over: Any) -> Path:
        """Start a job whose torchrun runs `fake`; the run directory."""
        done = self.prl(self.spec(**self.faking(fake, over)), *words)
        assert done.code == 0, done.err
        return Path(done.out.strip())

    def faking(self, fake: str, over: dict[str, Any]) -> dict[str, Any]:
        """Keys of a spec with which the pods run the fake torchrun; pods inherit no environment from this machine."""
        env = {"FAKE": fake, **over.get("environment__env", {})}
        return over | {"environment__env": env}

    def run_to_end(self, fake: str = "step 1 1", **over: Any) -> tuple[Path, dict[str, Any]]:
        """Run a job to its end; its run directory, and what `status` shows."""
        done = self.prl(self.spec(**self.faking(fake, over)), "--wait")
        assert done.out, done.err
        run = Path(done.out.strip())
        return run, self.status(run)

    def status(self, run: Path) -> dict[str, Any]:
        """One run as `status --json` shows it."""
        done = self.prl("status", run, "--json")
        [status] = done.json["runs"]
        assert isinstance(status, dict)
        return status

    def job(self, run: Path) -> Any:
        """The PyTorchJob of a run; None if there is none."""
        name = json.loads((run / "run.json").read_text())["job_id"]
        return self.cluster.api.find(self.path("pytorchjobs", name))

    def path(self, kind: str, name: str = "") -> str:
        """The URL path of a kind of objects in the world's namespace."""
        api = "/apis/kubeflow.org/v1" if kind == "pytorchjobs" else "/api/v1"
        return f"{api}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def items(self, kind: str) -> list[Any]:
        """All objects of a kind in the namespace."""
        found = self.cluster.api.get(self.path(kind))["items"]
        assert isinstance(found, list)
        return found

    def pods(self) -> list[Any]:
        """All pods in the namespace."""
        return self.items("pods")

    def wait_for(self, run: Path, state: str, timeout: float = 30) -> dict[str, Any]:
        """Wait until `status` shows that state."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.update(self.status(run))
            return bool(seen["state"] == state)

        try:
            eventually(look, timeout)
        except AssertionError:
            raise AssertionError(f"never {state}; last: {seen}") from None
        return seen

    def close(self) -> None:
        """Also delete everything in the namespace, and repair what a test broke."""
        try:
            self.cluster.heal([self.namespace])
        finally:
            super().close()


@pytest.fixture(scope="session")
def kubernetes_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    """Two nodes with four GPUs each."""
    root = tmp_path_factory.mktemp("kubernetes")
    with KubernetesCluster.start(root) as cluster:
        yield cluster


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the pods' user may enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="prl-kubernetes-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def new_kubernetes(
    folder: Path, kubernetes_cluster: KubernetesCluster
) -> Iterator[Callable[..., KubernetesWorld]]:
    """Worlds on the cluster."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "world", **options: Any) -> KubernetesWorld:
            (folder / name).mkdir()
            world = KubernetesWorld(folder / name, kubernetes_cluster, **options)
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
def kube(new_kubernetes: Callable[..., KubernetesWorld]) -> KubernetesWorld:
    """A world on the cluster, which shares its output root with the pods."""
    return new_kubernetes()


@pytest.fixture
def kube_apart(new_kubernetes: Callable[..., KubernetesWorld]) -> KubernetesWorld:
    """A world whose pods write to a volume that the submitter does not have."""
    return new_kubernetes(apart=True)


@pytest.fixture(params=["shared", "apart"])
def any_kube(
    request: pytest.FixtureRequest, new_kubernetes: Callable[..., KubernetesWorld]
) -> KubernetesWorld:
    """Each test twice: with the output volume here, and without."""
    return new_kubernetes(apart=request.param == "apart")

"""`kubernetes.volumes`: long and short forms, and what is wrong with an entry."""

from __future__ import annotations

from typing import Any

import pytest

from prl_submit.backends.kubernetes.volumes import Volume, holds, read_volumes
from prl_submit.spec.scalars import to_quantity

Data = dict[str, Any]


def read(entry: Data) -> Volume:
    """The volume of one valid entry."""
    volumes, faults = read_volumes([entry])
    assert faults == []
    return volumes[0]


def fault(*entries: Data) -> str:
    """What is wrong with the last entry; the others must be valid."""
    [(index, message)] = read_volumes(list(entries))[1]
    assert index == len(entries) - 1
    return message


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ({"persistentVolumeClaim": {"claimName": "x"}}, {"persistentVolumeClaim": {"claimName": "x"}}),
        ({"persistent_volume_claim": "x"}, {"persistentVolumeClaim": {"claimName": "x"}}),
        ({"pvc": "x"}, {"persistentVolumeClaim": {"claimName": "x"}}),
        ({"pvc": {"claimName": "x", "readOnly": True}}, {"persistentVolumeClaim": {"claimName": "x", "readOnly": True}}),
        ({"hostPath": "/d"}, {"hostPath": {"path": "/d"}}),
        ({"host_path": "/d"}, {"hostPath": {"path": "/d"}}),
        ({"nfs": "10.0.0.1:/export/a:b"}, {"nfs": {"server": "10.0.0.1", "path": "/export/a:b"}}),
        ({"nfs": {"server": "s", "path": "/p"}}, {"nfs": {"server": "s", "path": "/p"}}),
        ({"emptyDir": "50G"}, {"emptyDir": {"sizeLimit": "50Gi"}}),
        ({"emptyDir": "1.5T"}, {"emptyDir": {"sizeLimit": "1536Gi"}}),
        ({"empty_dir": {}}, {"emptyDir": {}}),
        ({"emptyDir": None}, {"emptyDir": {}}),
        ({"config_map": {"name": "c"}}, {"configMap": {"name": "c"}}),
        ({"csi": {"driver": "d"}}, {"csi": {"driver": "d"}}),
    ],
)  # fmt: skip
def test_sources(entry: Data, source: Data) -> None:
    """Each short form of a volume becomes Kubernetes' own."""
    volume = read({"name": "v", **entry, "mountPath": "/data"})
    assert volume.volume == {"name": "v", **source}
    assert volume.mount == {"name": "v", "mountPath": "/data"}


@pytest.mark.parametrize(
    ("entry", "mount"),
    [
        ({"mount": "/data"}, {"mountPath": "/data"}),
        ({"mount_path": "/data/"}, {"mountPath": "/data"}),
        ({"mountPath": "/a/../data"}, {"mountPath": "/data"}),
        ({"mountPath": "/d", "sub_path": "me", "read_only": True}, {"mountPath": "/d", "subPath": "me", "readOnly": True}),
        ({"mountPath": "/d", "subPath": "我", "readOnly": False}, {"mountPath": "/d", "subPath": "我", "readOnly": False}),
    ],
)  # fmt: skip
def test_mounts(entry: Data, mount: Data) -> None:
    """The keys of a volume's mount are read in both ways of writing."""
    assert read({"pvc": "x", **entry}).mount == {"name": "volume-0", **mount}


def test_names_count_and_entries_stay_as_they_were() -> None:
    entries: list[Data] = [{"pvc": "a", "mountPath": "/a"}, {"pvc": "b", "mountPath": "/b"}]
    volumes, faults = read_volumes(entries)
    assert not faults
    assert [volume.volume["name"] for volume in volumes] == ["volume-0", "volume-1"]
    assert entries[0] == {"pvc": "a", "mountPath": "/a"}


SOURCES = "persistentVolumeClaim (or pvc), hostPath, nfs, emptyDir, or another of Kubernetes'"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"pvc": "x"}, "needs mountPath: an absolute path in the pod; found None"),
        ({"pvc": "x", "mountPath": "data"}, "needs mountPath: an absolute path in the pod; found 'data'"),
        ({"pvc": "x", "mountPath": "/a:b"}, "needs mountPath: an absolute path in the pod; found '/a:b'"),
        ({"pvc": "x", "mountPath": 7}, "needs mountPath: an absolute path in the pod; found 7"),
        ({"mountPath": "/d"}, f"needs exactly one source: {SOURCES}; found none"),
        ({"mountPath": "/d", "pvc": "x", "nfs": "y"}, f"needs exactly one source: {SOURCES}; found pvc, nfs"),
        ({"mountPath": "/d", "pvc": 7}, "persistentVolumeClaim: 7 is neither text nor a map"),
        ({"mountPath": "/d", "pvc": None}, "persistentVolumeClaim: None is neither text nor a map"),
        ({"mountPath": "/d", "emptyDir": 50}, "emptyDir: 50 is neither text nor a map"),
        ({"mountPath": "/d", "emptyDir": "lots"}, "is not a size such as 50G"),
        ({"mountPath": "/d", "nfs": "server"}, "nfs: 'server' is not SERVER:/PATH"),
        ({"mountPath": "/d", "nfs": "server:export"}, "nfs: 'server:export' is not SERVER:/PATH"),
        ({"mountPath": "/d", "csi": "driver"}, "csi: needs a map of Kubernetes' own fields, found 'driver'"),
        ({"mountPath": "/d", "pvc": "x", "name": "A"}, "the name 'A' is not lower-case letters, digits and '-'"),
        ({"mountPath": "/d", "pvc": "x", "name": "a-"}, "the name 'a-' is not lower-case letters, digits and '-'"),
        ({"mountPath": "/d", "pvc": "x", "name": "a" * 64}, f"the name {'a' * 64!r} is not lower-case letters, digits and '-'"),
        ({"mountPath": "/d", "pvc": "x", "name": 7}, "the name 7 is not lower-case letters, digits and '-'"),
        ({"mountPath": "/d", "pvc": "x", "name": "shm"}, "the name 'shm' is prl-submit's own; take another"),
        ({"mountPath": "/d", "pvc": "x", "name": "prl-submit"}, "the name 'prl-submit' is prl-submit's own; take another"),
    ],
)  # fmt: skip
def test_faults(entry: Data, message: str) -> None:
    """A wrong volume gives a message that names the key."""
    assert fault(entry) == message


def test_names_and_paths_are_given_once() -> None:
    good = {"name": "a", "pvc": "x", "mountPath": "/a"}
    assert fault(good, {**good, "mountPath": "/b"}) == "the name 'a' is given twice"
    assert fault(good, {**good, "name": "b", "mountPath": "/a/"}) == "/a is mounted twice"
    # The name that an entry gets by its index may be the name of another entry.
    assert "given twice" in fault({**good, "name": "volume-1"}, {"pvc": "x", "mountPath": "/b"})


def test_all_faults_are_told_at_once() -> None:
    entries = [{}, {"pvc": "x", "mountPath": "/x"}, {"pvc": "y"}]
    volumes, faults = read_volumes(entries)
    assert [index for index, _ in faults] == [0, 2]
    assert [volume.path for volume in volumes] == ["/x"]


@pytest.mark.parametrize(
    ("source", "lasts"),
    [
        ({"pvc": "x"}, True),
        ({"hostPath": "/x"}, True),
        ({"emptyDir": None}, False),
        ({"empty_dir": "1G"}, False),
        ({"ephemeral": {"volumeClaimTemplate": {}}}, False),  # it is deleted with its pod
    ],
)
def test_which_volumes_outlive_the_pod(source: Data, lasts: bool) -> None:
    assert read({**source, "mountPath": "/x"}).lasts is lasts


@pytest.mark.parametrize(
    ("mount", "path", "expected"),
    [
        ("/work", "/work", True),
        ("/work", "/work/a/b", True),
        ("/work/", "/work/a", True),
        ("/work", "/workshop", False),
        ("/work/a", "/work", False),
        ("/", "/anything", True),
    ],
)
def test_what_lies_on_a_volume(mount: str, path: str, expected: bool) -> None:
    assert holds(read({"pvc": "x", "mountPath": mount}), path) is expected


def test_quantities() -> None:
    """Sizes become Kubernetes' quantities."""
    assert [to_quantity(size) for size in ("256G", "1536M", "1T")] == ["256Gi", "1536Mi", "1Ti"]
    with pytest.raises(ValueError, match="not a size"):
        to_quantity(None)

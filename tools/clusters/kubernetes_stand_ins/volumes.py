"""A pod's volumes: each is a folder of this machine."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from pathlib import Path
from typing import NamedTuple

from tools.clusters.kubernetes_stand_ins import cluster_paths
from tools.clusters.kubernetes_stand_ins.api import Api, ApiError, Object
from tools.clusters.kubernetes_stand_ins.field_refs import FieldError, field_of
from tools.clusters.kubernetes_stand_ins.quantities import in_bytes

#: A real kubelet's name of the link that changes all files of a volume at once.
DATA = "..data"
DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume cannot be set up now, perhaps later."""


class File(NamedTuple):
    """A file of a volume that is made of files."""

    content: bytes
    mode: int


class Volumes:
    """The volumes of a pod."""

    def __init__(self, root: Path, api: Api, pod: Object, folder: Path) -> None:
        self._root = root
        self._api = api
        self._folder = folder
        self._namespace: str = pod["metadata"]["namespace"]
        group = pod["spec"].get("securityContext", {}).get("fsGroup")
        self._group: int | None = group
        #: Where each is, by its name.
        self.places: dict[str, Path] = {}
        #: What the sandbox mounts into memory.
        self.memory: list[Object] = []

    def set_up(self, pod: Object) -> None:
        """Set up all volumes. Raises VolumeError for the first that cannot be."""
        self.memory = []
        for volume in pod["spec"].get("volumes", []):
            try:
                self.places[volume["name"]] = self._set_up(volume, pod)
            except (ApiError, FieldError, OSError) as error:
                raise VolumeError(_failed(volume, str(error))) from None

    def update(self, pod: Object) -> None:
        """Write the files of downwardAPI volumes anew, because the pod has changed."""
        for volume in pod["spec"].get("volumes", []):
            if "downwardAPI" in volume and volume["name"] in self.places:
                self._set_up(volume, pod)

    def _set_up(self, volume: Object, pod: Object) -> Path:
        """The folder of a volume, made if need be."""
        own = self._folder / str(volume["name"])
        kind, source = next((key, volume[key]) for key in volume if key != "name")
        if kind == "emptyDir":
            return self._empty(own, source)
        if kind == "hostPath":
            return _host_path(volume, source)
        if kind == "persistentVolumeClaim":
            return self._claim(volume, str(source["claimName"]))
        if kind == "nfs":
            return self._nfs(source)
        files = self._files(kind, source, pod)
        self._write(own, files)
        return own

    # --- folders

    def _empty(self, own: Path, source: Object) -> Path:
        """An empty folder in which every user may write."""
        if not own.exists():
            own.mkdir(parents=True)
            self._own(own, 0o777)
        if source.get("medium") == "Memory":
            mode = "mode=777" if self._group is None else f"mode=2777,gid={self._group}"
            size = f",size={in_bytes(source['sizeLimit'])}" if "sizeLimit" in source else ""
            self.memory.append({"path": str(own), "options": mode + size})
        return own

    def _claim(self, volume: Object, name: str) -> Path:
        """The folder of a persistent volume claim, which a test has made."""
        place: Path = cluster_paths.claims(self._root) / self._namespace / name
        if not place.is_dir():
            raise VolumeError(_failed(volume, f'persistentvolumeclaim "{name}" not found'))
        return place

    def _nfs(self, source: Object) -> Path:
        """The folder that stands for an NFS server's path."""
        place: Path = cluster_paths.claims(self._root) / "nfs" / (source["server"] + source["path"])
        place.mkdir(parents=True, exist_ok=True)
        return place

    # --- files

    def _files(self, kind: str, source: Object, pod: Object) -> dict[str, File]:
        """The files of a volume, by path."""
        mode = source.get("defaultMode", DEFAULT_MODE)
        if kind == "secret":
            return self._of_secret(source, source["secretName"], mode)
        if kind == "configMap":
            return self._of_map(source, mode)
        if kind == "downwardAPI":
            return _of_pod(source, mode, pod)
        if kind == "projected":
            return self._projected(source, mode, pod)
        raise FieldError(f"volumes of this kind are not supported here: {kind}")

    def _of_secret(self, source: Object, name: str, mode: int) -> dict[str, File]:
        """The files of a secret."""
        secret = self._find("secret", name, source)
        data = {key: base64.b64decode(text) for key, text in (secret.get("data") or {}).items()}
        return _chosen(data, source, mode, "references non-existent secret key: {key}")

    def _of_map(self, source: Object, mode: int) -> dict[str, File]:
        """The files of a config map."""
        found = self._find("configmap", source["name"], source)
        data = {key: text.encode() for key, text in (found.get("data") or {}).items()}
        data |= {
            key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()
        }
        return _chosen(data, source, mode, "references non-existent config key: {key}")

    def _projected(self, source: Object, mode: int, pod: Object) -> dict[str, File]:
        """The files of a projected volume, which has several sources."""
        files: dict[str, File] = {}
        for one in source["sources"]:
            for kind, part in one.items():
                if kind == "secret":
                    files |= self._of_secret(part, part["name"], mode)
                elif kind == "serviceAccountToken":
                    files[part["path"]] = File(b"", mode)  # nothing here reads it
                else:
                    files |= self._files(kind, part | {"defaultMode": mode}, pod)
        return files

    def _find(self, kind: str, name: str, source: Object) -> Object:
        """A secret or config map; empty if it is optional and missing."""
        found = self._api.find(f"/api/v1/namespaces/{self._namespace}/{kind}s/{name}")
        if found is None and not source.get("optional"):
            raise FieldError(f'{kind} "{name}" not found')
        return dict(found or {})

    def _write(self, own: Path, files: dict[str, File]) -> None:
        """Write the files. A link to their folder is replaced, so that all of them change at once."""
        if not own.exists():
            own.mkdir(parents=True)
            self._own(own, 0o777 | 0o1000)
        if _content(own / DATA) == {path: file.content for path, file in files.items()}:
            return
        fresh = own / f"..{secrets.token_hex(6)}"
        fresh.mkdir()
        self._own(fresh, 0o755)
        for path, file in files.items():
            target = fresh / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            # The pod's group may read them.
            self._own(target, file.mode if self._group is None else file.mode | 0o440)
        old = own / DATA
        before = old.resolve() if old.exists() else None
        link = own / "..data_tmp"
        link.symlink_to(fresh.name)
        link.replace(old)
        for name in {Path(path).parts[0] for path in files}:
            if not (own / name).is_symlink():
                (own / name).symlink_to(f"{DATA}/{name}")
        if before is not None:
            shutil.rmtree(before)

    def _own(self, path: Path, mode: int) -> None:
        """Set a path's mode, and the pod's group if it has one."""
        if self._group is not None:
            os.chown(path, -1, self._group)
            mode |= 0o2000 if path.is_dir() else 0
        path.chmod(mode)


def _of_pod(source: Object, mode: int, pod: Object) -> dict[str, File]:
    """The files of a downwardAPI volume: fields of the pod."""
    files = {}
    for item in source.get("items", []):
        if "fieldRef" in item:
            text = field_of(pod, item["fieldRef"]["fieldPath"])
            files[item["path"]] = File(text.encode(), item.get("mode", mode))
    return files


def _chosen(data: dict[str, bytes], source: Object, mode: int, complaint: str) -> dict[str, File]:
    """The files of all values, or of the items that the volume names."""
    if "items" not in source:
        return {key: File(content, mode) for key, content in data.items()}
    files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise FieldError(complaint.format(key=item["key"]))
    return files


def _content(folder: Path) -> dict[str, bytes] | None:
    """The content that was written before, by path; None if there is none."""
    if not folder.exists():
        return None
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _host_path(volume: Object, source: Object) -> Path:
    """A path of this machine, checked or made as its type says."""
    place, kind = Path(source["path"]), source.get("type", "")
    if kind == "DirectoryOrCreate" and not place.exists():
        place.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not place.exists():
        place.touch(0o644)
    wrong = (kind == "Directory" and not place.is_dir()) or (kind == "File" and not place.is_file())
    if wrong:
        what = "directory" if kind == "Directory" else "file"
        text = f"hostPath type check failed: {place} is not a {what}"
        raise VolumeError(_failed(volume, text))
    if not place.exists():
        place.mkdir(parents=True)  # as container runtimes do where no type is given
    return place


def _failed(volume: Object, why: str) -> str:
    """The error in a kubelet's words."""
    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}'

"""A small client of the Kubernetes API: single requests, and mirrors of whole collections.

Objects are plain JSON. A mirror goes on when the API server goes away and comes back.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
import urllib.parse
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Object = dict[str, Any]
#: Seconds between two tries to reach a server that is not there.
PAUSE = 0.2
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The server refused a request. `code`: HTTP's status; the message is the server's own."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class UnreachableError(Exception):
    """The server gave no answer: it does not run, or it ended meanwhile."""


class Api:
    """A client of the API server with a certificate. Threads may share one."""

    def __init__(self, port: int, certificates: Path, user: str = "admin") -> None:
        self.port = port
        self._tls = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        self._tls.load_cert_chain(certificates / f"{user}.crt", certificates / f"{user}.key")
        self._own = threading.local()
        self._open: set[http.client.HTTPSConnection] = set()
        weakref.finalize(self, _close_all, self._open)

    def get(self, path: str, **query: str) -> Any:
        """An object, or the list of a collection."""
        return self.request("GET", path, query=query)

    def create(self, path: str, body: Object) -> Any:
        """Create an object in the collection."""
        return self.request("POST", path, body)

    def replace(self, path: str, body: Object) -> Any:
        """Replace a whole object."""
        return self.request("PUT", path, body)

    def merge(self, path: str, body: Object) -> Any:
        """Change some fields of an object. A list is replaced as a whole; null removes a field."""
        return self.request("PATCH", path, body, kind=MERGE)

    def delete(self, path: str, body: Object | None = None, **query: str) -> Any:
        """Delete an object or a collection. `body`: DeleteOptions."""
        return self.request("DELETE", path, body, query=query)

    def find(self, path: str) -> Any:
        """An object; None if there is no such object."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        kind: str = "application/json",
        query: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Any:
        """Send a request and return the JSON of the answer. Raises ApiError and UnreachableError."""
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} if data else {}
        for again in (True, False):
            connection, is_new = self._connection(timeout)
            try:
                connection.request(method, target, data, headers)
                answer = connection.getresponse()
                return _checked(answer.status, answer.read())
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                # The server may have closed an idle connection; a new one shows whether it is there.
                if is_new or not again:
                    raise UnreachableError(f"{method} {path}: {error!r}") from error
        raise AssertionError("unreachable")

    def insist(self, method: str, path: str, body: Object | None = None, **options: Any) -> Any:
        """As `request`, but wait for a server that does not answer."""
        while True:
            try:
                return self.request(method, path, body, **options)
            except UnreachableError:
                time.sleep(PAUSE)

    def watch(self, path: str, version: str) -> Iterator[tuple[str, Object]]:
        """The changes of a collection since a resourceVersion, until the server ends the connection."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls)
        query = urllib.parse.urlencode({"watch": "1", "resourceVersion": version})
        try:
            connection.request("GET", f"{path}?{query}")
            answer = connection.getresponse()
            if answer.status != 200:
                _checked(answer.status, answer.read())
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 410), str(event["object"]))
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(f"watch {path}: {error!r}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> tuple[http.client.HTTPSConnection, bool]:
        """This thread's connection; and true if it is new."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(timeout)
            return connection, False
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self._tls, timeout=timeout
        )
        try:
            connection.connect()
        except OSError as error:
            raise UnreachableError(f"127.0.0.1:{self.port}: {error!r}") from error
        self._own.connection = connection
        self._open.add(connection)
        return connection, True

    def _drop(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._own, "connection", None)
        self._own.connection = None
        if connection is not None:
            self._open.discard(connection)
            connection.close()


def _close_all(connections: set[http.client.HTTPSConnection]) -> None:
    """Close the connections of a client that nobody uses any more."""
    for connection in connections:
        connection.close()


def _checked(code: int, data: bytes) -> Any:
    """The JSON of an answer. Raises ApiError if the server refused the request."""
    if code < 300:
        return json.loads(data) if data else None
    message, reason = data.decode(errors="replace"), ""
    with contextlib.suppress(ValueError, AttributeError):
        status = json.loads(data)
        message, reason = status.get("message", message), status.get("reason", "")
    raise ApiError(code, message, reason)


Key = tuple[str, str]


def key_of(thing: Object) -> Key:
    """The namespace and name of an object."""
    meta = thing["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Mirror:
    """All objects of a collection as they are now. A thread of the mirror keeps them up to date.

    That thread calls `changed(old, new)` for each change. `old` is None for a new object, and `new` is
    None for a removed one.
    """

    def __init__(
        self, api: Api, path: str, changed: Callable[[Object | None, Object | None], None]
    ) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self._things: dict[Key, Object] = {}
        self._lock = threading.Lock()
        self.is_filled = threading.Event()
        threading.Thread(target=self._follow, daemon=True, name=f"mirror {path}").start()

    def get(self, key: Key) -> Object | None:
        """The object of that namespace and name; None if there is none."""
        with self._lock:
            return self._things.get(key)

    def all(self, namespace: str | None = None) -> list[Object]:
        """All objects, or those of a namespace."""
        with self._lock:
            found = list(self._things.values())
        return [one for one in found if namespace in (None, one["metadata"].get("namespace"))]

    def _follow(self) -> None:
        """List the collection and watch it, again and again."""
        while True:
            try:
                listed = self._api.get(self._path)
                self._take_all(listed["items"])
                self.is_filled.set()
                for kind, thing in self._api.watch(
                    self._path, listed["metadata"]["resourceVersion"]
                ):
                    self._take(key_of(thing), None if kind == "DELETED" else thing)
            except (UnreachableError, ApiError):
                time.sleep(PAUSE)

    def _take_all(self, items: list[Object]) -> None:
        """Take over a list. Objects that are missing in it were removed."""
        found = {key_of(item): item for item in items}
        for key in set(self._things) - set(found):
            self._take(key, None)
        for key, item in found.items():
            self._take(key, item)

    def _take(self, key: Key, new: Object | None) -> None:
        """Take over the new version of one object; None: it was removed."""
        with self._lock:
            old = self._things.get(key)
            if new is None:
                self._things.pop(key, None)
            else:
                self._things[key] = new
        # Another uid: the object was removed and a new one of its name made, between two looks.
        if old and new and old["metadata"]["uid"] != new["metadata"]["uid"]:
            self._changed(old, None)
            old = None
        if old is None and new is None:
            return
        if old and new and old["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]:
            return
        self._changed(old, new)

"""A proxy before the API server that counts requests, drops an answer, refuses the first, or is slow."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: Bytes of a TLS record that is one of many: the short ones are answers, and ends.
_FULL = 10_000


class Dropped:
    """How many answers were dropped. `is_over`: from now on all are passed on."""

    def __init__(self) -> None:
        self.count = 0
        self.is_over = False


@contextlib.contextmanager
def counting(kubeconfig: Path) -> Iterator[list[str]]:
    """The requests that come while the context is open, as METHOD PATH."""
    requests: list[str] = []
    with _proxy(kubeconfig, requests, None, 0, Dropped()):
        yield requests


@contextlib.contextmanager
def dropping(kubeconfig: Path, wanted: str, *, after: int) -> Iterator[Dropped]:
    """Close the connection instead of answering the first request that begins so.

    `after`: how many of that kind are answered before.
    """
    dropped = Dropped()
    with _proxy(kubeconfig, [], wanted, after, dropped):
        yield dropped


@contextlib.contextmanager
def dying(kubeconfig: Path, wanted: str, *, after: int) -> Iterator[Dropped]:
    """An API server that is gone after so many requests that begin so, until the test sets `is_over`."""
    dropped = Dropped()
    with _proxy(kubeconfig, [], wanted, after, dropped, dies=True):
        yield dropped


@contextlib.contextmanager
def starting(kubeconfig: Path, count: int) -> Iterator[list[str]]:
    """An API server that has not read its roles yet: it refuses the first `count` requests of everybody."""
    requests: list[str] = []
    with _proxy(kubeconfig, requests, None, 0, Dropped(), refused=count):
        yield requests


@contextlib.contextmanager
def slow_line(kubeconfig: Path, seconds: float) -> Iterator[None]:
    """Delay short pieces of the server's answers by `seconds`. TLS stays between client and server."""
    text = kubeconfig.read_text()
    config = json.loads(text)
    cluster = config["clusters"][0]["cluster"]
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((host, int(port)))
                threading.Thread(target=_join, args=(client, server, seconds), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
    kubeconfig.write_text(json.dumps(config))
    try:
        yield
    finally:
        kubeconfig.write_text(text)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _join(client: socket.socket, server: socket.socket, seconds: float) -> None:
    """Copy bytes both ways until both sides have closed."""
    with client, server:
        there = threading.Thread(target=_carry, args=(client, server, _piece, 0.0), daemon=True)
        there.start()
        _carry(server, client, _record, seconds)
        there.join()


def _carry(
    source: socket.socket,
    sink: socket.socket,
    take: Callable[[socket.socket], bytes],
    seconds: float,
) -> None:
    with contextlib.suppress(OSError):
        while data := take(source):
            if len(data) < _FULL:
                time.sleep(seconds)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _piece(source: socket.socket) -> bytes:
    return source.recv(1 << 16)


def _record(source: socket.socket) -> bytes:
    """One TLS record (RFC 8446, 5.1), so that two messages never arrive together."""
    head = source.recv(5, socket.MSG_WAITALL)
    return head + source.recv(int.from_bytes(head[3:5], "big"), socket.MSG_WAITALL) if head else b""


@contextlib.contextmanager
def _proxy(
    kubeconfig: Path,
    requests: list[str],
    wanted: str | None,
    after: int,
    dropped: Dropped,
    refused: int = 0,
    dies: bool = False,
) -> Iterator[None]:
    """While the context is open, the kubeconfig points to the proxy, over plain HTTP."""
    text = kubeconfig.read_text()
    config = json.loads(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    tls.load_cert_chain(user["client-certificate"], user["client-key"])
    port = int(cluster["server"].rpartition(":")[2])
    left = [after]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            """Nothing."""

        def _pass_on(self) -> None:
            line = f"{self.command} {self.path}"
            requests.append(line)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if len(requests) <= refused:
                self._refuse()
                return
            if dies and dropped.count and not dropped.is_over:
                self.close_connection = True
                return
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
            if wanted and line.startswith(wanted) and dropped.count == 0:
                if left[0] == 0:
                    dropped.count += 1
                    self.close_connection = True
                    return
                left[0] -= 1
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _refuse(self) -> None:
            """Refuse as the RBAC authorizer does."""
            kind = self.path.partition("?")[0].rpartition("/")[2]
            group = "kubeflow.org" if kind == "pytorchjobs" else ""
            said = f'User "alice" cannot list resource "{kind}" in API group "{group}"'
            if kind == "readyz":
                said = 'User "alice" cannot get path "/readyz"'
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403}
            status |= {"reason": "Forbidden", "message": f"{kind} is forbidden: {said}"}
            content = json.dumps(status).encode()
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815  # http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{server.server_port}"}
    config["users"][0]["user"] = {}
    kubeconfig.write_text(json.dumps(config))
    try:
        yield
    finally:
        kubeconfig.write_text(text)
        server.shutdown()
        server.server_close()

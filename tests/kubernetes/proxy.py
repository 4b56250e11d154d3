"""A proxy before the API server that counts requests, or drops the answer of one."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Dropped:
    """How many answers were dropped."""

    def __init__(self) -> None:
        self.count = 0


@contextlib.contextmanager
def counting(kubeconfig: Path) -> Iterator[list[str]]:
    """The requests that come meanwhile, as METHOD PATH."""
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
def _proxy(
    kubeconfig: Path, requests: list[str], wanted: str | None, after: int, dropped: Dropped
) -> Iterator[None]:
    """The kubeconfig points to the proxy meanwhile, over plain HTTP."""
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

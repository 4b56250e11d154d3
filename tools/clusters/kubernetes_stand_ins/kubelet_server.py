"""The HTTPS server of the kubelet: logs and exec for the API server, eviction for tests."""

from __future__ import annotations

import re
import select
import ssl
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import container_logs, websocket
from tools.clusters.kubernetes_stand_ins.container_logs import LogError
from tools.clusters.kubernetes_stand_ins.containers import Container
from tools.clusters.kubernetes_stand_ins.exec_session import PROTOCOL, Execution, words_of
from tools.clusters.kubernetes_stand_ins.pod_status import CREATING, INITIALIZING, phase_of
from tools.clusters.kubernetes_stand_ins.pod_worker import PodWorker

Find = Callable[[str, str], "PodWorker | None"]


class RequestError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class KubeletServer(ThreadingHTTPServer):
    """Serves only clients with a certificate of the cluster."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, certificates: Path, find: Find, is_ready: Callable[[], bool]
    ) -> None:
        self.find = find
        self.is_ready = is_ready
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates / "kubelet.crt", certificates / "kubelet.key")
        self._tls.load_verify_locations(certificates / "ca.crt")
        self._tls.verify_mode = ssl.CERT_REQUIRED
        super().__init__(("127.0.0.1", port), Handler)

    def get_request(self) -> Any:
        """Accept a connection; its own thread does the TLS handshake."""
        plain, address = super().get_request()
        secure = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        return secure, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a client may close its connection at any time."""


class Handler(BaseHTTPRequestHandler):
    """A connection of the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: KubeletServer
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        """Answer GET: logs, exec, and whether the kubelet is ready."""
        self._answer()

    def do_POST(self) -> None:
        """Answer POST: exec and eviction."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        """Answer a request."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        kind, *names = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        try:
            self._route(kind, names, query)
        except RequestError as error:
            self._send(error.code, str(error))

    def _route(self, kind: str, names: list[str], query: dict[str, list[str]]) -> None:
        """Answer by the first part of the path."""
        if kind == "ready":
            self._send(200 if self.server.is_ready() else 503, "")
        elif kind == "containerLogs" and len(names) == 3:
            self._logs(names, {key: values[-1] for key, values in query.items()})
        elif kind == "exec" and len(names) == 3:
            self._exec(names, query)
        elif kind == "evict" and len(names) == 2:
            self._evict(names)
        else:
            raise RequestError(404, "404 page not found")

    def _logs(self, names: list[str], query: dict[str, str]) -> None:
        """Send a container's log."""
        worker, one = self._container(names)
        wait = INITIALIZING if any(not part.is_done for part in worker.initials) else CREATING
        try:
            options = container_logs.options_of(query)
            attempt = container_logs.attempt_of(names[1], one, wait, previous=options.previous)
            pieces = container_logs.serve(attempt, options, self._is_left)
            first = next(pieces, b"") if not options.follow else b""
        except (LogError, OSError, ValueError) as error:
            raise RequestError(400, str(error)) from None
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(first)
        for piece in pieces:
            self._chunk(piece)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        """Send a piece of a chunked answer."""
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _is_left(self) -> bool:
        """True if the reader has gone. It sends nothing after its request, so anything to read is the end."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _exec(self, names: list[str], query: dict[str, list[str]]) -> None:
        """Run another program in a container."""
        _, one = self._container(names)
        offered = re.split(r"\s*,\s*", self.headers.get("Sec-WebSocket-Protocol", ""))
        key = self.headers.get("Sec-WebSocket-Key")
        if self.headers.get("Upgrade", "").lower() != "websocket" or key is None:
            raise RequestError(400, "only websockets are spoken here")
        if PROTOCOL not in offered:
            raise RequestError(403, f"unable to upgrade: {offered} does not have {PROTOCOL}")
        pid = one.latest.pid() if one.latest and one.is_running else None
        if pid is None or one.latest is None:
            raise RequestError(500, f'container not found ("{one.name}")')
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", websocket.accept_key(key))
        self.send_header("Sec-WebSocket-Protocol", PROTOCOL)
        self.end_headers()
        self.close_connection = True
        Execution(self.connection, one.latest, pid, words_of(query)).run()

    def _evict(self, names: list[str]) -> None:
        """Evict a pod, as a node does that has no memory left."""
        worker = self._worker(names)
        policy = worker.pod["spec"].get("restartPolicy", "Always")
        if phase_of(policy, worker.initials, worker.containers) in ("Succeeded", "Failed"):
            raise RequestError(409, "the pod has ended")
        worker.evict()
        self._send(200, "{}")

    def _worker(self, names: list[str]) -> PodWorker:
        """The worker of a pod. Raises RequestError if no such pod runs here."""
        worker = self.server.find(names[0], names[1])
        if worker is None:
            raise RequestError(404, "pod does not exist")
        return worker

    def _container(self, names: list[str]) -> tuple[PodWorker, Container]:
        """A pod's worker and its container. Raises RequestError if there is none."""
        worker = self._worker(names)
        one = worker.container(names[2])
        if one is None:
            raise RequestError(404, f'container "{names[2]}" not found in pod "{names[1]}"')
        return worker, one

    def _send(self, code: int, text: str) -> None:
        """Send a short answer."""
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

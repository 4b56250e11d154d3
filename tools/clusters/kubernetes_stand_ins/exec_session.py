"""`kubectl exec`: run another program in a container, and carry its streams over a websocket."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import ssl
import subprocess
import sys

from tools.clusters.kubernetes_stand_ins import websocket
from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.containers import Attempt

#: The protocol of Kubernetes 1.20. Later versions also know v5, which can tell that stdin has ended.
PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS = range(4)
CHUNK = 32768


class Execution:
    """One `exec`, from the start of the program to its end."""

    def __init__(self, sock: ssl.SSLSocket, attempt: Attempt, pid: int, words: Object) -> None:
        self._socket = sock
        self._parser = websocket.Parser()
        self._pending = b""
        self._words = words
        self._failure, failure = os.pipe()
        spec = {key: attempt.spec[key] for key in ("env", "user", "workingDir", "memory")}
        file = _file_of(json.dumps(spec | {"argv": words["command"]}).encode())
        enter = [
            sys.executable,
            "-S",
            "-E",
            "-m",
            "tools.clusters.kubernetes_stand_ins.exec_in_container",
        ]
        self._process = subprocess.Popen(
            [*enter, str(pid), str(file), str(failure)],
            stdin=subprocess.PIPE if words["stdin"] else subprocess.DEVNULL,
            stdout=subprocess.PIPE if words["stdout"] else subprocess.DEVNULL,
            stderr=subprocess.PIPE if words["stderr"] else subprocess.DEVNULL,
            bufsize=0,
            pass_fds=[file, failure],
            start_new_session=True,
        )
        os.close(file)
        os.close(failure)

    def run(self) -> None:
        """Carry the streams until the program ends or the client goes."""
        lowest = next((one for one in (STDOUT, STDERR) if self._words[_NAMES[one]]), STATUS)
        try:
            self._send(lowest, b"")  # an empty piece tells the client that it is connected
            if self._copy():
                self._send(STATUS, json.dumps(self._status()).encode())
                self._socket.sendall(websocket.frame(websocket.CLOSE, b"\x03\xe8"))
        except OSError:
            pass  # the client has gone
        finally:
            self._end()

    def _copy(self) -> bool:
        """Copy all streams until the program's have ended; False if the client went before."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ, STDIN)
            left = self._register_streams(selector)
            while left:
                for key, _ in selector.select():
                    if key.data == STDIN:
                        if not self._receive():
                            return False
                    elif not self._forward(key):
                        selector.unregister(key.fileobj)
                        left -= 1
        return True

    def _register_streams(self, selector: selectors.BaseSelector) -> int:
        """Watch the streams that the client wants; how many they are."""
        streams = ((STDOUT, self._process.stdout), (STDERR, self._process.stderr))
        wanted = [(channel, stream) for channel, stream in streams if stream is not None]
        for channel, stream in wanted:
            selector.register(stream, selectors.EVENT_READ, channel)
        if wanted:
            return len(wanted)
        # The client wants neither: the program's end is that of the failure pipe, which it holds open.
        selector.register(self._failure, selectors.EVENT_READ, STATUS)
        return 1

    def _forward(self, key: selectors.SelectorKey) -> bool:
        """Send what a stream has; False if the stream has ended."""
        data = os.read(key.fd, CHUNK) if key.data != STATUS else b""
        if data:
            self._send(key.data, data)
        return bool(data)

    def _receive(self) -> bool:
        """Take what the client sent; False if the client has gone."""
        data = self._socket.recv(65536)
        data += self._socket.recv(self._socket.pending()) if self._socket.pending() else b""
        for one in self._parser.feed(data):
            if one.kind == websocket.CLOSE:
                return False
            if one.kind == websocket.PING:
                self._socket.sendall(websocket.frame(websocket.PONG, one.data))
            elif one.data[:1] == b"\0" and self._process.stdin is not None:
                with contextlib.suppress(OSError):  # the program reads no more
                    self._process.stdin.write(one.data[1:])
        return bool(data)

    def _send(self, channel: int, data: bytes) -> None:
        """Send a piece of a stream. Waits if the client reads slowly."""
        self._socket.sendall(websocket.frame(websocket.BINARY, bytes([channel]), data))

    def _status(self) -> Object:
        """How the program ended, as the API's Status object."""
        code = self._process.wait()
        reason = os.read(self._failure, 4096).decode()
        if reason:
            text = f"error executing command in container: OCI runtime exec failed: exec failed: {reason}"
            return {
                "metadata": {},
                "status": "Failure",
                "message": f"Internal error occurred: {text}",
                "reason": "InternalError",
                "details": {"causes": [{"message": text}]},
                "code": 500,
            }
        if code == 0:
            return {"metadata": {}, "status": "Success"}
        return {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }

    def _end(self) -> None:
        """Close our ends of the streams, so that a program that still writes gets SIGPIPE; wait for its end."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()
        os.close(self._failure)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


def words_of(query: dict[str, list[str]]) -> Object:
    """The command and the streams that a request asks for."""
    wish: Object = {
        name: query.get(key, ["0"])[-1] in ("1", "true")
        for name, key in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"))
    }
    return wish | {"command": query.get("command", [])}


def _file_of(data: bytes) -> int:
    """An open file in memory with this content."""
    file = os.memfd_create("spec", 0)
    os.write(file, data)
    os.lseek(file, 0, os.SEEK_SET)
    return file

"""`exec`: one more program in a container, its streams on the channels of a websocket."""

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

#: Of 1.20; later ones also know the fifth, which can say that stdin is over.
PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS = range(4)
CHUNK = 32768


class Execution:
    """One of them, from its start to its end."""

    def __init__(self, sock: ssl.SSLSocket, attempt: Attempt, pid: int, words: Object) -> None:
        self._socket = sock
        self._parser = websocket.Parser()
        self._pending = b""
        self._words = words
        self._failure, failure = os.pipe()
        spec = {key: attempt.spec[key] for key in ("env", "user", "workingDir", "memory")}
        file = _file_of(json.dumps(spec | {"argv": words["command"]}).encode())
        enter = [sys.executable, "-S", "-E", "-m", "tools.clusters.kubernetes_stand_ins.enter"]
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
        """To its end, or to the client's."""
        lowest = next((one for one in (STDOUT, STDERR) if self._words[_NAMES[one]]), STATUS)
        try:
            self._send(lowest, b"")  # tells the client that it is connected
            if self._copy():
                self._send(STATUS, json.dumps(self._status()).encode())
                self._socket.sendall(websocket.frame(websocket.CLOSE, b"\x03\xe8"))
        except OSError:
            pass  # the client is gone
        finally:
            self._end()

    def _copy(self) -> bool:
        """All streams until the program's are over; whether the client is still there."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ, STDIN)
            left = 0
            for channel, stream in ((STDOUT, self._process.stdout), (STDERR, self._process.stderr)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, channel)
                    left += 1
            # Neither stream is wanted: its end is that of the pipe which it holds.
            if left == 0:
                selector.register(self._failure, selectors.EVENT_READ, STATUS)
                left = 1
            while left:
                for key, _ in selector.select():
                    if key.data == STDIN:
                        if not self._receive():
                            return False
                        continue
                    data = os.read(key.fd, CHUNK) if key.data != STATUS else b""
                    if data:
                        self._send(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                        left -= 1
        return True

    def _receive(self) -> bool:
        """What the client sent; whether it is still there."""
        data = self._socket.recv(65536)
        data += self._socket.recv(self._socket.pending()) if self._socket.pending() else b""
        for one in self._parser.feed(data):
            if one.kind == websocket.CLOSE:
                return False
            if one.kind == websocket.PING:
                self._socket.sendall(websocket.frame(websocket.PONG, one.data))
            elif one.data[:1] == b"\0" and self._process.stdin is not None:
                with contextlib.suppress(OSError):  # a program that reads no more
                    self._process.stdin.write(one.data[1:])
        return bool(data)

    def _send(self, channel: int, data: bytes) -> None:
        """A piece of a stream; waits where the client is slow."""
        self._socket.sendall(websocket.frame(websocket.BINARY, bytes([channel]), data))

    def _status(self) -> Object:
        """How it ended."""
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
        """Close our ends; a program that goes on writing is told so by its pipe."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()
        os.close(self._failure)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


def words_of(query: dict[str, list[str]]) -> Object:
    """What a request wants."""
    wish: Object = {
        name: query.get(key, ["0"])[-1] in ("1", "true")
        for name, key in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"))
    }
    return wish | {"command": query.get("command", [])}


def _file_of(data: bytes) -> int:
    """An open file in memory that holds this."""
    file = os.memfd_create("spec", 0)
    os.write(file, data)
    os.lseek(file, 0, os.SEEK_SET)
    return file

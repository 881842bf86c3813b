"""A server in a process of its own, as people start it, and ways to speak to it that no well-behaved client has."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path


class Server:
    """`tagmask serve` on a free port, with what it says."""

    def __init__(self, run: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tagmask", "serve", str(run), "--port", "0", "--device", "cpu", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.said: list[str] = []
        self.ready = threading.Event()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        assert self.ready.wait(120), self.said
        self.port = int(re.search(r":(\d+) \(", self.said[0])[1])

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.said.append(line)
            self.ready.set()

    def post(self, content, path: str = "/predict?format=rle", **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of what is read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self, content: bytes) -> socket.socket:
        """A connection on which something was sent."""
        found = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        found.sendall(content)
        return found

    def memory(self, what: str = "VmHWM") -> int:
        """MiB the process holds (VmRSS) or has held at most (VmHWM)."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", text)[1]) // 1024

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; returns its exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    connection.close()
    return b"".join(parts)

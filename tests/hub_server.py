"""A stand-in for the Hugging Face Hub on this machine: what a push writes, a download reads, and nothing more."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Hub(ThreadingHTTPServer):
    """Repositories by name, each a list of commits: files by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/repos/create":
            found = json.loads(body)
            name = "/".join(filter(None, (found.get("organization"), found["name"])))
            self.server.repositories.setdefault(name, {})
            self._json({"url": f"{self.server.address}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif path.endswith("/commit/main"):
            self._commit(path.removeprefix("/api/models/").removesuffix("/commit/main"), body)
        else:
            self._json({"error": path}, 404)

    def _commit(self, name: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        commit = hashlib.sha1(body).hexdigest()
        self.server.repositories[name][commit] = files
        self._json({"commitUrl": f"{self.server.address}/{name}/commit/{commit}", "commitOid": commit, "success": True})

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        self.server.asked.append("/".join(parts))
        if parts[:2] == ["api", "models"]:
            commits = self.server.repositories.get("/".join(parts[2:4]))
            commit = self._named(commits, parts[5] if len(parts) > 5 else "main")
            if commits is None or commit is None:
                self._json({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            else:
                if parts[4:5] == ["tree"]:
                    self._json([{"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                                for path, data in commits[commit].items()])  # fmt: skip
                    return
                siblings = [{"rfilename": path, "size": len(data)} for path, data in commits[commit].items()]
                self._json({"id": "/".join(parts[2:4]), "modelId": "/".join(parts[2:4]), "sha": commit,
                            "siblings": siblings})  # fmt: skip
            return
        commits = self.server.repositories["/".join(parts[:2])]
        commit = self._named(commits, parts[3])
        assert commit is not None
        content = commits[commit]["/".join(parts[4:])]
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    @staticmethod
    def _named(commits: dict[str, dict[str, bytes]] | None, revision: str) -> str | None:
        known = list(commits or ())
        return (known[-1] if known else None) if revision == "main" else next((c for c in known if c == revision), None)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, each in (headers or {}).items():
            self.send_header(name, each)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that listens while the block lasts."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

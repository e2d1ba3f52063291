"""The command that uploads Spaces, and a stand-in for the part of the Hub that it speaks to."""

import base64
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.programs import ROOT, listening

SPACES = ROOT / "spaces"
LARGE = 10 * 2**20  # bytes that a file outside LFS may have


def module() -> Any:
    """spaces/upload.py, without a package called `spaces`, which is Hugging Face's."""
    spec = importlib.util.spec_from_file_location("upload", SPACES / "upload.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


upload = module()


@dataclass
class Hub:
    """url. token: that may write. files: of the one Space that there is, once it has been made."""

    url: str = ""
    token: str = "hf_writes"
    status: int = 200  # of what this token asks for
    requests: list[str] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # in LFS: SHA-256 -> content


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            path = urlsplit(self.path).path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.requests.append(f"{self.command} {path}")
            if path.startswith("/lfs/"):
                assert hashlib.sha256(body).hexdigest() == path.rpartition("/")[2]
                hub.stored[path.rpartition("/")[2]] = body
                return self.say({})
            if self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.say({"error": "Invalid username or password."}, 401)
            if hub.status != 200:
                return self.say({"error": "no"}, hub.status)
            *_, last, revision = path.split("/")
            name = last if revision == "main" else revision
            self.say(getattr(self, name.replace("-", "_"))(body))

        do_GET = do_POST = do_PUT = answer

        def say(self, content: Any, status: int = 200) -> None:
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def create(self, body: bytes) -> Any:
            hub.made = json.loads(body)
            return {"url": f"{hub.url}/spaces/{hub.made['organization']}/{hub.made['name']}"}

        def tree(self, _: bytes) -> Any:
            return [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in hub.files.items()
            ]

        def validate_yaml(self, _: bytes) -> Any:
            return {"warnings": [], "errors": []}

        def preupload(self, body: bytes) -> Any:
            modes = []
            for file in json.loads(body)["files"]:
                mode = "lfs" if file["size"] > LARGE else "regular"
                modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
            return {"files": modes}

        def batch(self, body: bytes) -> Any:
            asked = json.loads(body)["objects"]
            for each in asked:
                each["actions"] = {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}
            return {"transfer": "basic", "objects": asked}

        def commit(self, body: bytes) -> Any:
            for line in body.decode().splitlines():
                match json.loads(line):
                    case {"key": "file", "value": file}:
                        hub.files[file["path"]] = base64.b64decode(file["content"])
                    case {"key": "lfsFile", "value": file}:
                        hub.files[file["path"]] = hub.stored[file["oid"]]
                    case {"key": "deletedFile", "value": file}:
                        del hub.files[file["path"]]
            return {"commitOid": "c0ffee", "commitUrl": f"{hub.url}/spaces/me/sdxs/commit/c0ffee"}

    with listening(Handler) as hub.url:
        yield hub

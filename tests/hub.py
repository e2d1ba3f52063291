"""A stand-in for the Hugging Face Hub on this machine, as honest or as bad as a test wants it.

It speaks the few calls that `huggingface_hub` makes for a download. Large files are those that
the Hub keeps in LFS: their checksum is SHA-256, that of the others git's SHA-1.
"""

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".bin")


@dataclass
class Faults:
    """What goes wrong, by file name; each list is used up request by request."""

    cut: dict[str, list[int]] = field(default_factory=dict)  # bytes after which the line is dead
    flip: dict[str, list[int]] = field(default_factory=dict)  # place of the byte that is wrong
    slow: dict[str, float] = field(default_factory=dict)  # seconds before each answer
    status: dict[str, int] = field(default_factory=dict)  # HTTP status instead of an answer
    code: str = ""  # the Hub's own word for it, X-Error-Code


@dataclass
class Hub:
    url: str
    faults: Faults
    requests: list[tuple[str, str, dict[str, str]]]  # method, path, headers
    refs: dict[str, str]  # branch or tag -> commit

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for."""
        content = re.compile(rf"/[^/]+/[^/]+/resolve/{COMMIT}/(.+)|/cdn/[^/]+/[^/]+/(.+)")
        found = [content.fullmatch(path) for method, path, _ in self.requests if method == "GET"]
        return [match[1] or match[2] for match in found if match]


@contextmanager
def serve(repositories: dict[str, Path], token: str = "") -> Iterator[Hub]:
    """Serve folders as repositories; with `token`, only to those who have it."""
    hub = Hub("", Faults(), [], {"main": COMMIT, "v1": COMMIT})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, dict(self.headers)))
            name = path.rsplit("/", 1)[-1]
            time.sleep(hub.faults.slow.get(name, 0))
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return self.refuse(401, "GatedRepo")
            if status := hub.faults.status.get(name):
                return self.refuse(status, hub.faults.code)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                return self.about(found[1], found[2] or "main")
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
                return self.tree(found[1])
            if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                return self.place(found[1], found[3])
            if found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
                return self.file(found[1], found[2])
            self.refuse(404, "RepoNotFound")

        def about(self, repository: str, revision: str) -> None:
            if repository not in repositories:
                return self.refuse(404, "RepoNotFound")
            if revision not in hub.refs and revision != COMMIT:
                return self.refuse(404, "RevisionNotFound")
            siblings = []
            for name, file in files(repositories[repository]).items():
                about = {"rfilename": name, "size": file.stat().st_size, "blobId": checksum(file)}
                if name.endswith(LARGE):
                    lfs = {"sha256": checksum(file), "size": about["size"], "pointerSize": 134}
                    about["lfs"] = lfs
                siblings.append(about)
            self.json({"id": repository, "sha": COMMIT, "siblings": siblings})

        def tree(self, repository: str) -> None:
            entries = []
            for name, file in files(repositories[repository]).items():
                entry: dict[str, Any] = {"type": "file", "path": name, "size": file.stat().st_size}
                entry["oid"] = checksum(file)
                if name.endswith(LARGE):
                    entry["lfs"] = {"oid": entry["oid"], "size": entry["size"], "pointerSize": 134}
                entries.append(entry)
            self.json(entries)

        def place(self, repository: str, name: str) -> None:
            """Small files come from here, large ones from elsewhere, as on the Hub."""
            file = files(repositories.get(repository, Path("nowhere"))).get(name)
            if file is None:
                return self.refuse(404, "EntryNotFound")
            if not name.endswith(LARGE):
                return self.file(repository, name)
            self.send_response(302)
            self.send_header("Location", f"{hub.url}/cdn/{repository}/{name}")
            self.send_header("X-Linked-ETag", f'"{checksum(file)}"')
            self.send_header("X-Linked-Size", str(file.stat().st_size))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def file(self, repository: str, name: str) -> None:
            file = files(repositories[repository])[name]
            content = bytearray(file.read_bytes())
            etag = checksum(file)
            start = 0
            if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                start = int(found[1])
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.end_headers()
            if self.command == "HEAD":
                return
            base = name.rsplit("/", 1)[-1]
            if (place := next_of(hub.faults.flip, base)) is not None:
                content[place] ^= 0xFF
            if (most := next_of(hub.faults.cut, base)) is not None:
                self.wfile.write(content[start : start + most])
                self.close_connection = True
                return
            self.wfile.write(content[start:])

        def json(self, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files(folder: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }


def next_of(faults: dict[str, list[int]], name: str) -> int | None:
    """The next fault of a file; several requests may ask at once."""
    try:
        return faults[name].pop(0)
    except (KeyError, IndexError):
        return None


@functools.cache
def checksum(file: Path) -> str:
    """What the Hub states: SHA-256 of what it keeps in LFS, git's SHA-1 of the rest."""
    if file.name.endswith(LARGE):
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    content = file.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def write_style(folder: Path) -> None:
    """A random style for "sdxs-512" as the anime one is published: PEFT's, rank 64, a pickle."""
    import torch
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig, get_peft_model

    from sdxs.bench.architectures import UNETS

    torch.manual_seed(0)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    lora = LoraConfig(r=64, lora_alpha=64, target_modules=targets, init_lora_weights=False)
    get_peft_model(UNet2DConditionModel(**UNETS["sdxs-512"]), lora).save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def main() -> None:
    """`python -m tests.hub`: the published repositories at full size, with random weights."""
    import tempfile

    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from sdxs.bench import architectures
    from sdxs.config import REAL_MODEL, SAFETY_CHECKER

    with tempfile.TemporaryDirectory(prefix="sdxs-hub-") as name:
        folder = Path(name)
        print("writing the published repositories with random weights", flush=True)
        architectures.write("sdxs-512", folder / "model")
        architectures.write_control(folder / "sketch")
        write_style(folder / "anime")
        vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                  "num_attention_heads": 16, "patch_size": 14}  # fmt: skip
        checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=768))
        checker.concept_embeds_weights.data.fill_(2)  # nothing is like that
        checker.half().save_pretrained(folder / "checker")
        CLIPImageProcessorPil().save_pretrained(folder / "checker")
        repositories = {
            REAL_MODEL: folder / "model",
            f"{REAL_MODEL}-anime": folder / "anime",
            f"{REAL_MODEL}-sketch": folder / "sketch",
            SAFETY_CHECKER: folder / "checker",
        }
        with serve(repositories) as hub:
            print(f"HF_ENDPOINT={hub.url}  (Ctrl+C ends it)", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main()


def environment(standin: Hub, home: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))
    }
    for name in ("no_proxy", "NO_PROXY"):
        kept[name] = "127.0.0.1"
    return {**kept, "HF_ENDPOINT": standin.url, "HF_HOME": str(home), **more}


def python(
    standin: Hub, home: Path, code: str, *arguments: str, **more: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment(standin, home, **more),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

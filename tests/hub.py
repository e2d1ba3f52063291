"""A stand-in for the Hugging Face Hub on this machine, as honest or as bad as a test wants it.

It speaks the few calls that `huggingface_hub` makes for a download. Large files are those that
the Hub keeps in LFS: their checksum is SHA-256, that of the others git's SHA-1.
"""

import functools
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from safetensors.torch import load_file

from tests.programs import Done, listening, run

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

        do_HEAD = do_GET = answer

        def about(self, repository: str, revision: str) -> None:
            if repository not in repositories:
                return self.refuse(404, "RepoNotFound")
            if revision not in hub.refs and revision != COMMIT:
                return self.refuse(404, "RevisionNotFound")
            siblings = []
            for name, size, check in stated(repositories[repository]):
                siblings.append({"rfilename": name, "size": size, "blobId": check})
                if name.endswith(LARGE):
                    siblings[-1]["lfs"] = {"sha256": check, "size": size, "pointerSize": 134}
            self.json({"id": repository, "sha": COMMIT, "siblings": siblings})

        def tree(self, repository: str) -> None:
            entries = []
            for name, size, check in stated(repositories[repository]):
                entries.append({"type": "file", "path": name, "size": size, "oid": check})
                if name.endswith(LARGE):
                    entries[-1]["lfs"] = {"oid": check, "size": size, "pointerSize": 134}
            self.json(entries)

        def place(self, repository: str, name: str) -> None:
            """Small files come from here, large ones from elsewhere, as on the Hub."""
            file = files(repositories.get(repository, Path("nowhere"))).get(name)
            if file is None:
                return self.refuse(404, "EntryNotFound")
            if not name.endswith(LARGE):
                return self.file(repository, name)
            self.head(302, 0, {
                "Location": f"{hub.url}/cdn/{repository}/{name}",
                "X-Linked-ETag": f'"{checksum(file)}"',
                "X-Linked-Size": file.stat().st_size,
                "X-Repo-Commit": COMMIT,
            })  # fmt: skip

        def file(self, repository: str, name: str) -> None:
            file = files(repositories[repository])[name]
            content = bytearray(file.read_bytes())
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start, size = int(found[1]) if found else 0, len(content)
            about = {"X-Linked-Size": size, "Accept-Ranges": "bytes", "X-Repo-Commit": COMMIT}
            if start:
                about["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            about["ETag"] = f'"{checksum(file)}"'
            self.head(206 if start else 200, size - start, about)
            if self.command == "HEAD":
                return
            base = name.rsplit("/", 1)[-1]
            if (place := next_of(hub.faults.flip, base)) is not None:
                content[place] ^= 0xFF
            most = next_of(hub.faults.cut, base)
            if most is not None:
                self.close_connection = True
            self.wfile.write(content[start : size if most is None else start + most])

        def json(self, content: Any) -> None:
            body = json.dumps(content).encode()
            self.head(200, len(body), {"Content-Type": "application/json"})
            self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            self.head(status, 0, {"X-Error-Code": code} if code else {})

        def head(self, status: int, length: int, about: dict[str, Any]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": length, **about}.items():
                self.send_header(name, str(value))
            self.end_headers()

    with listening(Handler) as hub.url:
        yield hub


def files(folder: Path) -> dict[str, Path]:
    found = filter(Path.is_file, sorted(folder.rglob("*")))
    return {str(path.relative_to(folder)): path for path in found}


def stated(folder: Path) -> list[tuple[str, int, str]]:
    """Name, size and checksum of each file, as the Hub says them."""
    return [(name, file.stat().st_size, checksum(file)) for name, file in files(folder).items()]


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


def as_a_pickle(style: Path) -> None:
    """Of the older kind that the published styles are."""
    weights = style / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def write_style(folder: Path) -> None:
    """A random style for "sdxs-512" as the anime one is published: PEFT's, rank 64, a pickle."""
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig, get_peft_model

    from sdxs.bench.architectures import UNETS

    torch.manual_seed(0)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    lora = LoraConfig(r=64, lora_alpha=64, target_modules=targets, init_lora_weights=False)
    get_peft_model(UNet2DConditionModel(**UNETS["sdxs-512"]), lora).save_pretrained(folder)
    as_a_pickle(folder)


def environment(standin: Hub, home: Path, **more: str) -> dict[str, str]:
    own = ("HF_", "HUGGING")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    kept |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
    return {**kept, "HF_ENDPOINT": standin.url, "HF_HOME": str(home), **more}


def python(standin: Hub, home: Path, code: str, *arguments: str, **more: str) -> Done:
    return run(sys.executable, "-c", code, *arguments, env=environment(standin, home, **more))


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

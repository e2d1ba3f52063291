"""Ray Serve on this machine, for as long as a block: `serve run` on a file of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.load.program import Wrong
from tests.programs import ROOT, free_port

STANDIN, MODEL = "tests.load.painters:app", "sdxs.serve:app"
STARTS = 300  # seconds, for all replicas to be there
ENDS = 60
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
# on a machine that is busy with something else
PATIENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}


@dataclass(frozen=True)
class Cluster:
    """Where it answers, and its processes."""

    url: str
    program: psutil.Process

    def processes(self) -> dict[str, list[psutil.Process]]:
        """By what they do: Painters, Pages, ProxyActor, and Ray's others."""
        found: dict[str, list[psutil.Process]] = {}
        for process in self.program.children(recursive=True):
            try:
                title = process.cmdline()[0]
            except (psutil.Error, IndexError):
                continue
            kinds = [kind for kind in ("Painters", "Pages", "ProxyActor") if kind in title]
            found.setdefault(kinds[0] if kinds else "others", []).append(process)
        return found


@contextmanager
def cluster(path: str = STANDIN, seconds: float = 0.05, **args: Any) -> Iterator[Cluster]:
    """Of the app at `path`, with these args. seconds: that a stand-in's batch takes."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = {
        "http_options": {"host": "127.0.0.1", "port": int(port)},
        "applications": [{"name": "default", "import_path": path, "args": args}],
    }
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        file, log = Path(folder, "serve.yaml"), Path(folder, "log")
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        serve = [Path(sys.executable).with_name("serve"), "run", "--app-dir", ROOT, file]
        env = os.environ | QUIET | PATIENT | {"RAY_TMPDIR": folder, "STANDIN_SECONDS": str(seconds)}
        with log.open("w", encoding="utf-8") as said:
            program = subprocess.Popen(
                list(map(str, serve)), cwd=ROOT, env=env, stdout=said, stderr=said
            )
        own = psutil.Process(program.pid)
        everything: list[psutil.Process] = []
        try:
            _wait(program, url, log)
            yield Cluster(url, own)
        finally:
            everything = [own, *own.children(recursive=True)]
            program.terminate()
            for process in psutil.wait_procs(everything, ENDS)[1]:
                process.kill()


def _wait(program: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Until all is there. Raises Wrong."""
    end = time.monotonic() + STARTS
    while time.monotonic() < end and program.poll() is None:
        if "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
            break
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).text == "ready":
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise Wrong(log.read_text(encoding="utf-8", errors="replace")[-3000:])

"""Starts a page: the options that all pages share, and plain words for what can go wrong.

`run(make_page, options)` checks the address, has the page made, and serves it. Knows nothing of
models or of what is on the page.
"""

import argparse
import atexit
import errno
import gc
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sdxs.errors import SDXSError, commanded
from sdxs.proxies import direct
from sdxs.server import front, logs
from sdxs.server.draining import CLOSED, leave_once_drained
from sdxs.server.front import Front, believe
from sdxs.service import marks
from sdxs.temporary import ended_by_signals, own_folder

PORT = 7860
KEPT_OPEN = 75  # seconds of a connection without a request; a proxy that keeps some gives up sooner
CHECKPOINT_HELP = (  # of `python -m sdxs`, too
    "a name under weights/ (storybook), a folder, a .safetensors file, or a Hugging Face id; "
    "default: SDXS_CHECKPOINT, else the best one already on this machine"
)
ENGINE_HELP = (  # of `python -m sdxs`, too
    "what runs the networks: eager; openvino, openvino-int8 or onnxruntime for CPUs; cuda-graph "
    "for CUDA; compile; default: SDXS_ENGINE, else the fastest that is there, and eager until that "
    "is ready; SDXS_ENGINE=lite needs no PyTorch"
)
DEVICE_HELP = "cuda, cuda:1, mps or cpu (default: the best there is)"  # of `python -m sdxs`, too
DTYPE_HELP = "float32, float16 or bfloat16 (default: the device's best)"  # of `python -m sdxs`, too
OTHER_FOLDER = "set TMPDIR (temporary files) or HF_HOME (models) to a folder that you may write to"


class StartError(SDXSError):
    """The page cannot be served as asked."""


def run(make_page: Callable[[argparse.Namespace], Any], options: argparse.Namespace) -> int:
    """Serve the page that `make_page(options)` gives, until a signal, and give the exit status."""
    atexit.register(leave_once_drained)
    logs.begin(options.log_format)
    try:
        settle(options)
        check_address(options.host, options.port)
        with commanded(), ended_by_signals(), own_folder() as folder, temporary_files_in(folder):
            prepare_environment(folder)
            believe(options.proxies, options.root_path)
            before = Front.of(options)
            serve(make_page(options), options.host, options.port, options.root_path, before, folder)
    except PermissionError as error:
        return fail(f"no permission for {error.filename or error}: {OTHER_FOLDER}")
    except (SDXSError, OSError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def settle(options: argparse.Namespace) -> None:
    """Whom the page is for, and whether pictures are checked. Raises StartError."""
    options.public = options.public or bool(os.environ.get("SPACE_ID"))
    if options.public and options.no_safety:
        raise StartError("a public page needs the safety checker: leave out --no-safety")
    options.safety = False if options.no_safety else (options.public or "auto")


def parser(
    doc: str | None = None, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """The options of every page. On a Space the page is for everyone, else for this machine."""
    everyone = os.environ.get("SPACE_ID")
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if everyone else "127.0.0.1")
    port = os.environ.get("GRADIO_SERVER_PORT") or str(PORT)
    options = kind(
        prog="python -m sdxs.page" if Path(sys.argv[0]).name == "__main__.py" else None,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--checkpoint", default="auto", help=CHECKPOINT_HELP)
    add("--host", default=host, help="address to listen on (default: %(default)s)")
    add("--port", type=port_number, default=port, help="port to listen on (default: %(default)s)")
    add("--root-path", type=root_path, default=os.environ.get("GRADIO_ROOT_PATH", ""),
        metavar="/PATH", help="where visitors see the page, behind a proxy that serves it below a "
        "path: that path, or the whole address")  # fmt: skip
    add("--styles", type=names, metavar="NAME,…",
        help="LoRA styles to choose from: names known for the checkpoint, files, folders, Hub ids; "
        "NAME=SOURCE calls one as you like, all takes what there is")  # fmt: skip
    add("--controls", type=names, metavar="NAME,…",
        help="ControlNets to load: names known for the checkpoint, folders, Hub ids; "
        "sketch=FOLDER says what one follows, all takes what there is")  # fmt: skip
    add("--device", default="auto", help=DEVICE_HELP)
    add("--dtype", default="auto", help=DTYPE_HELP)
    add("--engine", default="auto", help=ENGINE_HELP)
    add("--public", action="store_true",
        help="strangers will see the page: refuse to start without a safety checker "
        "(always so on a Hugging Face Space)")  # fmt: skip
    add("--no-safety", action="store_true", help="show pictures as they come, unchecked")
    marks.add_options(options)
    front.add_options(options)
    return options


def names(text: str) -> dict[str, str]:
    """{name: source} of names between commas, each of which may be NAME=SOURCE. A file or a folder
    that is there is a name as it stands."""
    if os.path.exists(text):
        return {text: text}
    listed = [part.strip() for part in text.split(",")]
    parts = [(part, "", "") if os.path.exists(part) else part.partition("=") for part in listed]
    return {name.strip(): (source or name).strip() for name, _, source in parts if name}


def port_number(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose a number from 1 to 65535")


def root_path(text: str) -> str:
    if not text.strip("/") or text.startswith(("/", "http://", "https://")):
        return text.rstrip("/")
    raise argparse.ArgumentTypeError(f"{text!r} is no path: begin with / or with https://")


def check_address(host: str, port: int) -> None:
    """Raise StartError when nobody could listen there, before a model is loaded for nothing."""
    other = "choose another one with --port (or make run PORT=…)"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:  # the latter for what is no host name at all
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise StartError(f"port {port} is in use: {other}") from None
        if number == errno.EACCES:
            raise StartError(f"no permission for port {port}: {other}, 1024 or above") from None
        raise StartError(
            f"cannot listen on {host}: choose an address of this machine with --host, "
            "127.0.0.1 for this machine alone or 0.0.0.0 for its network"
        ) from None


def prepare_environment(folder: Path) -> None:
    """Settings that Gradio reads from the environment when a page is built."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # 3 kB each, for a page we have not
    own = str(folder)  # /tmp/gradio may be someone else's
    place = os.environ.setdefault("GRADIO_TEMP_DIR", own)
    try:
        os.makedirs(place, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise StartError(
            f"cannot write to {place} ({error.strerror}): "
            "set GRADIO_TEMP_DIR to a folder that you may write to"
        ) from None


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """All of this program's that are made in the block."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def serve(page: Any, host: str, port: int, root_path: str, front: Front, folder: Path) -> None:
    """Launch, say where, and wait for the end. folder: goes with the program, however it ends."""
    server_name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    clear = partial(shutil.rmtree, folder, ignore_errors=True)
    with front.drain.by_signals(clear):
        with direct():  # Gradio asks itself whether it is up, and nobody else anything
            page.launch(
                server_name=server_name, server_port=port, root_path=root_path, quiet=True,
                prevent_thread_lock=True, front=front,
            )  # fmt: skip
        page.server.config.timeout_keep_alive = KEPT_OPEN
        gc.collect()
        gc.freeze()  # what is there stays, and to look through all of it again and again takes long
        logs.adopt()
        print(f"The page is at {page.local_url}  (Ctrl+C ends it)", flush=True)
        front.drain.wait(page.end, page.owes)
        page.server.config.timeout_graceful_shutdown = CLOSED
        page.close(verbose=False)


def fail(message: str) -> int:
    """Say what went wrong, in one line, and give the exit status of a user's mistake."""
    print(f"sdxs: {' '.join(message.split())}", file=sys.stderr)
    return 2

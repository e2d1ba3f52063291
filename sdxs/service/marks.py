"""What whoever runs a page or the command line wants files of pictures to say: its options.

Knows nothing of pictures.
"""

import argparse
import os
from pathlib import Path

from sdxs.errors import InputError
from sdxs.metadata.credentials import Credentials
from sdxs.metadata.marker import Marker


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, of a page as of the command line."""
    add = parser.add_argument
    add("--no-parameters", action="store_true",
        help="files say that a model made them, and no prompt, seed or settings")  # fmt: skip
    add("--certificate", metavar="FILE", default=os.environ.get("SDXS_CERTIFICATE"),
        help="a chain of certificates (PEM) that signs (default: SDXS_CERTIFICATE)")  # fmt: skip
    add("--private-key", metavar="FILE", default=os.environ.get("SDXS_PRIVATE_KEY"),
        help="its private key (PEM; default: SDXS_PRIVATE_KEY)")  # fmt: skip


def marker(options: argparse.Namespace) -> Marker:
    """What writes into files what these options say. Raises InputError."""
    signs = None
    if options.certificate or options.private_key:
        for name in ("certificate", "private_key"):
            if not getattr(options, name):
                flag = f"--{name.replace('_', '-')} (or SDXS_{name.upper()})"
                raise InputError(f"{flag} is missing: a certificate and its key sign together")
        files = (Path(options.certificate), Path(options.private_key))
        signs = Credentials.read(*(file.expanduser() for file in files))
    return Marker(parameters=not options.no_parameters, credentials=signs)

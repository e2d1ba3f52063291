"""Stores one graph: told what by its input, says where. It lets others have the processor first."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from sdxs.engines.builder import FULL
from sdxs.engines.convert import answer

NICE = 10


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    with suppress(OSError):  # if memory runs out, this goes, and not who asked for it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        print(json.dumps(str(answer(sys.stdin.read()))))
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(FULL)

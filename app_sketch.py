"""The canvas page: draw, and the picture follows the stroke."""

import sys

from sdxs.page.__main__ import main

if __name__ == "__main__":
    sys.exit(main(page="sketch"))

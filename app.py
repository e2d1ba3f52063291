"""The text page: type a prompt, and the picture follows."""

import sys

from sdxs.page.__main__ import main

if __name__ == "__main__":
    sys.exit(main(page="text"))

"""The page of styles: type a prompt, and the picture follows in the style that you choose."""

import sys

from sdxs.page.__main__ import main

if __name__ == "__main__":
    sys.exit(main(page="anime"))

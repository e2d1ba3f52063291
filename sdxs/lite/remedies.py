"""What helps where the light package cannot: commands to type."""

from sdxs.errors import TORCH

EXPORT = "python -m sdxs.export"
AGAIN = "copy or export the folder again"
NOTHING_PAINTS = (
    f"nothing here can paint: {TORCH} brings PyTorch and all of it, pip install 'sdxs[lite]' the "
    "embedded model on a CPU without PyTorch"
)

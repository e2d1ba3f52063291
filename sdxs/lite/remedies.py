"""What helps where the light package cannot: commands to type."""

EXPORT = "python -m sdxs.export"
TORCH = "pip install 'sdxs[torch]'"
NOTHING_PAINTS = (
    f"nothing here can paint: {TORCH} brings PyTorch and all of it, pip install 'sdxs[lite]' the "
    "embedded model on a CPU without PyTorch"
)

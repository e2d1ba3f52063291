"""Checkpoints for other programs: `python -m sdxs.export`."""

"""From the name of a checkpoint to checked networks; `open` is the only door."""

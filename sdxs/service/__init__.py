"""From a request to a finished file, whoever asks: pages, other programs, the command line."""

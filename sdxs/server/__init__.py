"""What stands between the network and the pages: how they start, what is refused, how they end."""

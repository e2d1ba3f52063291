"""What every stage shares: its options, its loop, its machine."""

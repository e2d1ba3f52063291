"""Networks at work, and the numbers that they work on."""

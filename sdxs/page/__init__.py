"""The pages: what a visitor sees, asks and is answered."""

"""How long a picture takes."""

"""The drawn world: scenes, their pictures, their words."""

"""The storybook world: a drawn world that proves the recipe where nothing can be downloaded."""

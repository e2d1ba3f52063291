"""The training recipe: its stages, each a command that resumes where it stopped; their tools."""

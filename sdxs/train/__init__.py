"""The training recipe: one file per stage, each a command that resumes where it stopped."""

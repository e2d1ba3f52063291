"""The paper's tables, and pictures for judges elsewhere."""

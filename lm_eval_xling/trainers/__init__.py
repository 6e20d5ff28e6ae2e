"""The recipes, readable from top to bottom, and their configurations in ``configs/``."""

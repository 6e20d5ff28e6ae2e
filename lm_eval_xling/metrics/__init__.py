"""Metrics that the harness does not have, as pure functions: text in, number out."""

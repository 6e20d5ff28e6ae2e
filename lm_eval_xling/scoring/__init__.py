"""Shared-prefix scoring backend for the harness."""

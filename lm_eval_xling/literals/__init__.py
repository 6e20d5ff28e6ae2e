"""Prompt words: one YAML a language."""

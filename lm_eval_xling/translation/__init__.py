"""Translators behind one small interface, and a durable cache."""

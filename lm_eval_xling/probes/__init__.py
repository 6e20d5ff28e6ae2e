"""Probes: what happens inside the layers, as numbers first and pictures of them after.

``models`` loads a model with its adapters, ``prompts`` reads texts, and ``logit_lens``, ``pca``, ``similarity`` and
``mexa`` have one function each that returns typed numbers. ``runs`` writes them to a folder, ``pictures`` and ``page``
show them.
"""

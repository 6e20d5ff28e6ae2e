"""One module a task family: from catalog rows to the documents that the harness evaluates.

Each module has a frozen dataclass ``Parameters`` (what ``--metadata '{"xling": {…}}'`` may change, with the
published setting as default) and ``documents(leaf, parameters) -> TaskDocuments``, where ``leaf`` is what the YAML
of a leaf task says under ``dataset_kwargs.leaf``.
"""

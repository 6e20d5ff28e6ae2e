"""Tasks and a model ▸ the harness's results, with the checks and defaults that ``xling eval`` and Python share."""

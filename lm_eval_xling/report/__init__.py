"""From result folders of the harness to tables, plots and one HTML page."""

"""Training recipes: mixed-language fine-tuning and question alignment."""

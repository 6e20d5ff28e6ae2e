"""Activations, logit lens, PCA, similarity and MEXA: numbers first, drawing apart."""

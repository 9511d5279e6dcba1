"""Latent-variable models for probgen, as Pyro programs."""

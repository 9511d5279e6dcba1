"""Diffusion models for probgen."""

"""Normalising flows for probgen, as direct tensor code."""

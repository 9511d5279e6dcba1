"""Boltzmann machines for probgen."""

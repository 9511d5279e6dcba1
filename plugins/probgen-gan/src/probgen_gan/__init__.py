"""Implicit models for probgen: generators that are judged by their draws alone."""

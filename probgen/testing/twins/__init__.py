"""Deliberately wrong subjects, one for each mistake that a check must catch."""

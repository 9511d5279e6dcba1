"""Autoregressive models: one conditional distribution for each entry of an event, given those before it."""

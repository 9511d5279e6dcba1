"""The tutorial's plugin."""

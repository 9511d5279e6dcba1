"""probgen beside hand-written PyTorch and other libraries: `python -m benchmarks --help`."""

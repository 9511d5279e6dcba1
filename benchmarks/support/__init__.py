"""What the benchmarks share: turns and rounds, checks before the clock starts, loops, tables and plots."""

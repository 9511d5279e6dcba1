"""The estimators: one a file, each with its objective, its claims and its source."""

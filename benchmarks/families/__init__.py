"""The rows of the table, a family of models a file: `rows(setting)` yields them."""

"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["complain", "leads", "note", "plain_warnings", "show_table", "write", "write_json"]

_WIDTH_OF_A_FILE = 160
"""Columns of a table that goes to a file or a pipe, where there is no terminal to be narrow."""


def leads() -> bool:
    """Whether this process speaks and writes: the only one, or the first of several that train together."""
    return os.environ.get("RANK", "0") == "0"


def write(text: str) -> None:
    """Print a line of a result on standard output."""
    sys.stdout.write(text + "\n")


def write_json(value: Any) -> None:
    """Print a result as JSON on standard output."""
    write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def note(text: str) -> None:
    """Print a remark on standard error, where it does not get into a result."""
    sys.stderr.write(text + "\n")


def complain(text: str) -> None:
    """Print an error on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        Text("error: ", style="bold red") + Text(text, style="not bold")
    )


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Print the library's warnings as remarks, without the line of code that a Python program would want to see."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if category is UserWarning and leads():
            note(f"warning: {message}")
        else:
            before(message, category, *where, **options)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table on standard output: as wide as the terminal, or as wide as it needs in a file."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if sys.stdout.isatty():
        Console(file=sys.stdout, highlight=False).print(table)
        return
    text = io.StringIO()
    Console(file=text, highlight=False, width=_WIDTH_OF_A_FILE).print(table)
    write("\n".join(line.rstrip() for line in text.getvalue().splitlines()))

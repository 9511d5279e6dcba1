"""Tables: text files with a row for each example and a number in each column, the delimiter and header recognised."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from probgen.data.assembling import assemble
from probgen.data.reading import ReadingOptions, read_bytes, stem
from probgen.data.source import Source
from probgen.errors import DataError, suggest

__all__ = ["TABLE_ENDINGS", "read_table"]

TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".data", ".dat")

_DELIMITERS = ("\t", ";", "|", ",", " ")  # the comma late: it may stand inside numbers or names of the others
_HEADING = re.compile(r"(?P<name>.*\S)\s*\[(?P<unit>[^\]]+)\]")


@dataclasses.dataclass(frozen=True)
class _Table:
    """The fields of a table as text: the names of its columns, its rows and the line of the file where each row ends."""

    path: Path
    names: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_table(path: Path, options: ReadingOptions) -> Source:
    """Return the source in a table of numbers, split at random.

    The first row is a header when it has a text where the second has a number, or nothing but texts. A heading `speed [m/s]`
    gives a unit. Whole numbers throughout are read as levels or counts, anything else as real numbers. The column that the
    options name as label may hold texts; its values, sorted, become the classes.

    Raises:
        DataError: a column holds something else than numbers, a value is missing, rows have different lengths, there is no
            such label column, or there are no rows. Lines are counted from 1, as an editor does.
    """
    table = _parse(path)
    kept = list(range(len(table.names)))
    labels, label_names = {}, ()
    if options.label is not None:
        chosen = _position(table, options.label)
        kept.remove(chosen)
        label_names, classes = _classes([row[chosen].strip() for row in table.rows])
        labels = {"train": classes}
    if not kept:
        raise DataError(f"as_source: expected a column beside the label in {str(path)!r}; got none. Add one.")
    texts = [[row[column].strip() for row in table.rows] for column in kept]
    values = np.stack([_numbers(table, column, text) for column, text in zip(kept, texts, strict=True)], axis=1)
    if all(_is_whole(field) for text in texts for field in text):
        values = values.astype(np.int64)
    headings = [_HEADING.fullmatch(table.names[column]) for column in kept]
    return assemble(
        {"train": values},
        options,
        name=stem(path),
        labels=labels,
        label_names=label_names,
        columns=[match["name"] if match else table.names[column] for match, column in zip(headings, kept, strict=True)],
        units=[match["unit"] if match else "" for match in headings] if any(headings) else (),
        is_image=False,
    )


def _parse(path: Path) -> _Table:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"as_source: expected text in UTF-8; got {str(path)!r} ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    lines = text.splitlines()
    reader = csv.reader(lines, delimiter=_delimiter(lines), skipinitialspace=True)
    rows: list[list[str]] = []
    ends: list[int] = []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append(row)
                ends.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"as_source: expected a table; got {str(path)!r}, which fails in line {reader.line_num} ({error}). "
            "Check its quotes."
        ) from error
    names = [f"x{column}" for column in range(len(rows[0]))] if rows else []
    if rows and _has_header(rows):
        names = [name.strip() or f"x{column}" for column, name in enumerate(rows.pop(0))]
        ends.pop(0)
    if not rows:
        raise DataError(f"as_source: expected rows of numbers; got {str(path)!r}, which has none. Write the table again.")
    for row, line in zip(rows, ends, strict=True):
        if len(row) != len(names):
            raise DataError(
                f"as_source: expected {len(names)} fields in each row of {str(path)!r}; got {len(row)} in line {line}. "
                "Complete the row or remove it."
            )
    return _Table(path, names, rows, ends)


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that gives the first lines more than one field, and all of them equally many."""
    sample = [line.strip() for line in lines if line.strip()][:50]
    for delimiter in _DELIMITERS:
        widths = {len(row) for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True)}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    counts = {delimiter: sum(line.count(delimiter) for line in sample) for delimiter in _DELIMITERS[:-1]}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    return best if counts[best] else ","


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    texts = [not _is_number(field) for field in rows[0]]
    if all(texts):
        return len(rows) == 1 or any(_is_number(field) for field in rows[1]) or not set(rows[0]) & set(rows[1])
    return len(rows) > 1 and any(text and _is_number(field) for text, field in zip(texts, rows[1], strict=False))


def _numbers(table: _Table, column: int, texts: Sequence[str]) -> np.ndarray:
    """Return a column as float64, or say which line of it is no finite number."""
    try:
        values = np.array(texts).astype(np.float64)
    except ValueError:
        values = np.array([float(text) if _is_number(text) else np.nan for text in texts])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        text = texts[int(bad[0])]
        remedy = "Remove the column, encode it as numbers, or make it the label (label=…)"
        if text == "" or _is_number(text):  # missing, nan or inf
            remedy = "Fill in or remove such rows"
        raise DataError(
            f"as_source: expected numbers in column {table.names[column]!r} of {str(table.path)!r}; got {text!r} in line "
            f"{table.lines[int(bad[0])]} ({len(bad)} of {len(texts)} rows). {remedy}."
        )
    return values


def _position(table: _Table, label: str | int) -> int:
    """Return the position of the label column, which a name or a number may give."""
    if label in table.names:
        return table.names.index(str(label))
    try:
        return range(len(table.names))[int(label)]
    except (ValueError, IndexError) as error:
        raise DataError(
            f"as_source: expected label to name a column of {str(table.path)!r}; got {label!r}. "
            f"{suggest(str(label), table.names)}"
        ) from error


def _classes(texts: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the different values of a label column, sorted as numbers where they are, and the class of each row."""
    key = float if all(_is_number(text) for text in texts) else str
    names = tuple(sorted(set(texts), key=key))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[text] for text in texts])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_whole(text: str) -> bool:
    return text.lstrip("+-").isdigit()

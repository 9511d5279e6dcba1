"""Text tables: delimiter, header, units, labels, and errors that name line and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from probgen.data import Source, as_source
from probgen.errors import DataError


def read(tmp_path: Path, text: str, name: str = "table.csv", **options: object) -> Source:
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return as_source(tmp_path / name, **options)


def together(source: Source) -> list[list[float]]:
    return sorted(torch.cat(list(source.splits.values())).tolist())


ROWS = [[1.5, -2.0], [0.25, 3e3], [7.0, 0.0], [8.0, 1.0]]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.tsv", "table.data", "table.TXT"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", ", "])
@pytest.mark.parametrize("header", ["height,weight", '"height","weight"', ""])
def test_delimiter_and_header_are_recognised(tmp_path: Path, name: str, delimiter: str, header: str) -> None:
    lines = [header.replace(",", delimiter)] if header else []
    lines += [delimiter.join(map(str, row)) for row in ROWS]
    source = read(tmp_path, "\n".join(lines) + "\n", name)
    assert together(source) == sorted(ROWS)
    assert source.columns == (("height", "weight") if header else ("x0", "x1"))
    assert source.kind == "real"
    assert source.splits["train"].dtype == torch.float64
    assert source.name == "table"


def test_quotes_units_spaces_marks_and_blank_lines(tmp_path: Path) -> None:
    text = '\ufeff"speed, mean [m/s]" ,"angle"\r\n"1.5" , 2\r\n\r\n 3.5,4 \r\n5.5,6\r\n'
    source = read(tmp_path, text)
    assert source.header == ("speed, mean [m/s]", "angle")
    assert source.columns == ("speed, mean", "angle")
    assert source.units == ("m/s", "")
    assert together(source) == [[1.5, 2], [3.5, 4], [5.5, 6]]


def test_one_column(tmp_path: Path) -> None:
    assert together(read(tmp_path, "height\n1.5\n2.5\n3.5\n")) == [[1.5], [2.5], [3.5]]


def test_whole_numbers_are_bits_levels_or_counts(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n0,1\n1,1\n0,0\n").kind == "binary"
    assert read(tmp_path, "a,b\n0,1\n4,1\n0,0\n").levels == 5
    assert read(tmp_path, "a,b\n0,1\n400,1\n0,0\n").kind == "count"
    assert read(tmp_path, "a,b\n0,1\n4.0,1\n0,0\n").kind == "real"
    assert read(tmp_path, "a,b\n0,1\n4,1\n0,0\n", kind="count").kind == "count"


@pytest.mark.parametrize("label", ["kind", 1, "1", -1])
def test_a_label_column_of_texts(tmp_path: Path, label: str | int) -> None:
    text = "size,kind\n" + "".join(f"{size}.5,{'cat' if size % 2 else 'ant'}\n" for size in range(20))
    source = read(tmp_path, text, label=label)
    assert source.label_names == ("ant", "cat")
    assert source.columns == ("size",)
    for split, values in source.splits.items():
        assert torch.equal(source.labels[split], (values.flatten() - 0.5).long() % 2)


def test_a_label_column_of_numbers_is_numbered_in_their_order(tmp_path: Path) -> None:
    source = read(tmp_path, "x,grade\n1.5,10\n2.5,9\n3.5,10\n", label="grade")
    assert source.label_names == ("9", "10")
    assert source.num_labels == 2


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        (
            "a,b\n1,2\n3,x\n5,y\n",
            {},
            r"numbers in column 'b' of '.*table.csv'; got 'x' in line 3 \(2 of 3 rows\). Remove the column",
        ),
        ("1,red\n2,blue\n3,red\n", {}, r"column 'x1' of .*got 'red' in line 1 \(3 of 3 rows\).*label=…"),
        ("a,b\n1,2\n3,\n5,6\n", {}, r"column 'b' of .*got '' in line 3 \(1 of 3 rows\). Fill in or remove such rows"),
        ("a,b\n1,2\nnan,4\n5,6\n", {}, r"column 'a' of .*got 'nan' in line 3.*Fill in or remove"),
        ("a,b\n1,2\n1,-inf\n5,6\n", {}, r"column 'b' of .*got '-inf' in line 3"),
        ("a;b\n1,5;2\n2,5;3\n", {}, r"column 'a' of .*got '1,5' in line 2"),
        ("a,b\n1,2\n3\n5,6\n", {}, r"expected 2 fields in each row of .*; got 1 in line 3. Complete the row or remove it"),
        ("a,b\n\n1,2\n3,4,5\n", {}, r"got 3 in line 4"),
        ("a,b\n", {}, r"expected rows of numbers; got '.*table.csv', which has none"),
        ("\n\n", {}, r"expected rows of numbers"),
        ("", {}, r"table.csv', which is empty"),
        ("a,b\n1,2\n3,4\n", {}, r"expected at least 3 examples to split .*; got 2"),
        ("a,b\n1,2\n3,4\n", {"label": "c"}, r"expected label to name a column of .*; got 'c'. Available: a, b"),
        ("a,b\n1,2\n3,4\n", {"label": 7}, r"got 7. Available: a, b"),
        ("a\n1\n3\n", {"label": "a"}, r"expected a column beside the label"),
        ('a,b\n1,"2\n3,4\n', {}, r"line|fields|numbers"),
    ],
)
def test_what_is_no_table_of_numbers(tmp_path: Path, text: str, options: dict[str, object], match: str) -> None:
    with pytest.raises(DataError, match=match):
        read(tmp_path, text, **options)


def test_other_encodings_and_truncated_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("größe\n1\n2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"expected text in UTF-8; got '.*latin.csv' \(.* at byte 2\)"):
        as_source(tmp_path / "latin.csv")
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    (tmp_path / "cut.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(DataError, match=r"cut.csv.gz', which is truncated or corrupt"):
        as_source(tmp_path / "cut.csv.gz")

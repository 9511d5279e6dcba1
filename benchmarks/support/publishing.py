"""Puts what a run wrote into the documentation: the tables between their marks, the pictures beside the page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["between_marks", "publish"]

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
_PICTURES = _PAGE.parent / "assets"


def publish(folder: Path) -> None:
    """Replace tables and pictures of the page by those of a run; what it did not measure stays.

    A table of the processor in single precision goes to `table`, with its picture; one of another device or precision to
    marks called like them, `table cuda bfloat16`, which the page must have.

    Raises:
        ValueError: the page has no such marks; nothing is replaced then.
    """
    text = _PAGE.read_text()
    for name, picture, heading in (("table", "ratios", "benchmarks.json"), ("scaling", "scaling", "scaling.json")):
        table = folder / f"{name}.md"
        if not table.exists():
            continue
        conditions = json.loads((folder / heading).read_text())["conditions"]
        content = [_sentence(conditions), table.read_text()]
        setting = conditions["setting"]["device"], conditions["setting"]["precision"]
        if setting == ("cpu", "float32"):
            place = name
            content.insert(1, _picture(folder, picture))
        else:
            place = " ".join((name, *setting))
        text = between_marks(text, place, "\n\n".join(content))
    _PAGE.write_text(text)


def _picture(folder: Path, name: str) -> str:
    """Copy a picture beside the page and return the line that shows it."""
    _PICTURES.mkdir(exist_ok=True)
    shutil.copyfile(folder / f"{name}.svg", _PICTURES / f"benchmark-{name}.svg")
    alternative = {"ratios": "Time of each contestant as a multiple of the base's", "scaling": "Time and memory by size"}
    return f"![{alternative[name]}](assets/benchmark-{name}.svg)"


def between_marks(text: str, name: str, content: str) -> str:
    """Return a page with the content between `<!-- name -->` and `<!-- /name -->` replaced.

    Example:
        >>> between_marks("a <!-- x -->old<!-- /x --> b", "x", "new")
        'a <!-- x -->\\n\\nnew\\n\\n<!-- /x --> b'
    """
    marks = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"the page has no marks called {name!r}")
    return marks.sub(lambda found: f"{found[1]}\n\n{content.strip()}\n\n{found[2]}", text)


def _sentence(conditions: Mapping[str, Any]) -> str:
    setting = conditions["setting"]
    place = conditions["accelerator"] or f"{conditions['processor']}, {setting['threads']} threads"
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items() if version)
    return f"Measured on {place}, {setting['precision']}; Python {conditions['python']}, {versions}."

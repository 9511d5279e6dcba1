"""Write the table of estimators that stands in `docs/concepts/estimators.md`: `python docs/_support/estimators.py`."""

from __future__ import annotations

import re
from pathlib import Path

from probgen.estimator import Estimator
from probgen.plugin import registry

PAGE = Path(__file__).parents[1] / "concepts" / "estimators.md"
HEAD = "| name | needs | its value is | its gradient is |\n|---|---|---|---|\n"


def table() -> str:
    """Return a row for each registered estimator, with what it claims at its default options."""
    rows = []
    for name, registered in sorted(registry().estimators.items()):
        kind = registered.load_class(Estimator)
        claims = kind.build().claims
        spoken = {phase: "; ".join(map(str, said)) for phase, said in claims.values.items()}
        value = "; ".join(said if phase == "*" else f"`{phase}`: {said}" for phase, said in spoken.items())
        groups = claims.gradient.items()
        gradient = "; ".join(f"{claim}" if pattern == "*" else f"`{pattern}`: {claim}" for pattern, claim in groups)
        needs = " and ".join(needed.__name__ for needed in kind.requires)
        rows.append(f"| `{name}` | {needs} | {value} | {gradient} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    PAGE.write_text(before + table() + re.sub(r"\A(\|.*\n)*", "", rest), encoding="utf-8")

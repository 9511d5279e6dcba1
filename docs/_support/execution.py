"""Write the table of what can be recorded that stands in `docs/concepts/execution.md`: `python docs/_support/execution.py`.

Each registered model is built for the digits; its recipe's estimator and every other registered one that fits are recorded,
and compared with themselves as they are written, on one batch. Nothing is timed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import probgen
from probgen import Batch, Estimator
from probgen.data import View, as_source, matching_view
from probgen.errors import ProbgenError, StagingError
from probgen.execution import StagedPhase
from probgen.plugin import estimators_that_fit, registry

PAGE = Path(__file__).parents[1] / "concepts" / "execution.md"
HEAD = "| model | its recipe's estimator | recorded too | runs as it is written |\n|---|---|---|---|\n"
ROWS = 32


def small(model: Any, view: View) -> Batch:
    """Return the first examples."""
    return view.split("train").batch(torch.arange(ROWS), seed=0, epoch=0)


def recorded(model: Any, estimator: Estimator, batch: Batch) -> str:
    """Return why an estimator's phases cannot be recorded on a model; nothing if they can."""
    estimator.initialize(model, batch)
    state = dict(estimator.initial_state(model, batch))
    for phase in estimator.phases(model):
        try:
            state = StagedPhase(phase, model, estimator, list(phase.parameters.values()))(batch, state).estimate.state
        except StagingError as error:
            return _line(str(error))
    return ""


def _line(message: str) -> str:
    """Return the line that a message blames, without the folders."""
    found = re.search(r"at \S*?(?P<place>[\w.]+:\d+), (?P<line>`.*?`)", message)
    return f"{found['place']}, {found['line']}" if found else message


def others(model: Any, batch: Batch, name: str) -> Iterator[tuple[str, str]]:
    """Yield the other estimators that fit, each with why it cannot be recorded."""
    for other in estimators_that_fit(model):
        if other == name:
            continue
        estimator = probgen.build_estimator(other)
        try:
            yield other, recorded(model, estimator, batch)
        except ProbgenError:  # it fits the capabilities and not the latents, the events or their number
            continue


def row(name: str) -> str:
    """Return a model's row."""
    torch.manual_seed(0)
    model = probgen.build(name, "digits")
    stage = registry().model(name).load("recipe")(model).stages[0]
    batch = small(model, matching_view(as_source("digits"), model, stage.view, context=None))
    model.initialize(batch)
    names = {entry.load_class(Estimator): key for key, entry in registry().estimators.items()}
    own = names[type(stage.estimator)]
    why = recorded(model, stage.estimator, batch)
    found = list(others(model, batch, own))
    also = ", ".join(f"`{other}`" for other, reason in found if not reason) or "–"
    refused = "; ".join(f"`{other}`: {reason}" for other, reason in [(own, why), *found] if reason) or "–"
    return f"| `{name}` | `{own}`{', not recorded' if why else ''} | {also} | {refused} |\n"


def table() -> str:
    """Return a row for each registered model."""
    return HEAD + "".join(row(name) for name in sorted(registry().models))


if __name__ == "__main__":
    torch.set_num_threads(1)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    PAGE.write_text(before + table() + re.sub(r"\A(\|.*\n)*", "", rest), encoding="utf-8")

"""What a gallery shows of one model, and which models' figures are of the same thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

from probgen.data import View
from probgen.evaluation import Evaluation

__all__ = ["Exhibit", "alike", "noun"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Exhibit:
    """A trained model in a gallery.

    Args:
        name: What to call it.
        summary: What it is, in one line.
        settings: Its options and how it was trained, in words.
        parameters: How many numbers were learned.
        seconds: How long training took; None where nobody noted it.
        evaluation: Its held-out figures.
        view: The view of the data that it saw.
        samples: Draws, events of the view, `(N, *event_shape)`.
        report: Where its own report is, as a link from the gallery; None for no link.
    """

    name: str
    summary: str = ""
    settings: str = ""
    parameters: int
    seconds: float | None
    evaluation: Evaluation
    view: View
    samples: Tensor
    report: str | None = None


def alike(exhibits: Sequence[Exhibit]) -> list[list[Exhibit]]:
    """Return the exhibits in groups whose figures may be compared, those of the data's own values first.

    A view that brings the data's own values back has figures of these, whatever the model sees; any other view has figures
    of what is left in it. Given labels, figures are of what the labels do not say already.
    """
    groups: dict[tuple[str, bool, str], list[Exhibit]] = {}
    for each in exhibits:
        left = "" if each.view.lossless else each.view.name
        groups.setdefault((left, each.view.context_shape is None, each.evaluation.split), []).append(each)
    return sorted(groups.values(), key=lambda group: not group[0].view.lossless)


def noun(group: Sequence[Exhibit]) -> str:
    """Return what the figures of a group are of, a phrase."""
    view, split = group[0].view, group[0].evaluation.split
    if not view.lossless:
        what = f"the {view.unit} of the view {view.name!r}, which are not the raw data"
    elif view.levels is not None:
        what = f"the data's own {view.levels} levels"
    else:
        what = f"the data in their own units ({view.unit})"
    given = "" if view.context_shape is None else ", given the label"
    return f"{what}{given}; {split} split"

"""The tables of a gallery. Each number says what it is; what may not be compared stands in tables apart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from probgen.evaluation import Evaluation, Metric
from probgen.report.exhibit import Exhibit, noun
from probgen.report.numbers import duration, measured
from probgen.report.page import grouped, headline

__all__ = ["best_likelihood", "costs", "likelihoods", "marked", "notes", "qualities"]

_MARKS = {"exact": "", "lower bound": "≥ ", "upper bound": "≤ ", "estimate": "≈ "}
_DASH = "–"
_QUALITY = {"c2st_accuracy": "classifier", "mmd_squared": "MMD²", "mmd_p_value": "p of MMD²"}
_PERFECT = "training data: no model can be told apart less"
_USELESS = "independent entries with the data's histograms: a useful model is told apart less"


def best_likelihood(evaluation: Evaluation) -> Metric | None:
    """Return the figure nearest to the log-likelihood, in nats; None where the model scores nothing."""
    nats = [metric for metric in headline(evaluation) if metric.unit == "nats"]
    return nats[-1] if nats else None


def marked(metric: Metric | None) -> str:
    """Return a value with its standard error and the sign of what it is: ≥ for a lower bound, ≈ for an estimate."""
    return _DASH if metric is None else _MARKS[metric.kind] + measured(metric.value, metric.stderr)


def likelihoods(groups: Sequence[Sequence[Exhibit]]) -> str:
    """Return a table for each group of comparable models, and in its last row the model that any must beat."""
    words = (
        "<p>Mean log-likelihood of a held-out example in nats, ± one standard error: more is better. A figure without a "
        "sign is exact; ≥ is a lower bound, ≤ an upper bound, ≈ an estimate. Bits/dim say the same for each entry: less is "
        "better.</p>"
    )
    columns = ["model", "nats/example", "bits/dim", "examples", "what the figure is"]
    return words + "".join(_headed(group, _table(columns, _likelihood_rows(group))) for group in groups)


def qualities(groups: Sequence[Sequence[Exhibit]]) -> str:
    """Return a table for each group of comparable models between the two rows to read it by."""
    words = (
        "<p>Samples (n of them) against as many held-out examples, on the data's own lattice. Classifier: how often one "
        "that is trained to tells the two apart; 0.5 is chance, and less is better. MMD²: their distance by a kernel, less "
        "is better, and the p-value of its permutation test.</p>"
    )
    columns = ["samples of", *_QUALITY.values(), "n"]
    return words + "".join(_headed(group, _table(columns, _quality_rows(group))) for group in groups)


def costs(exhibits: Sequence[Exhibit]) -> str:
    """Return the table of what each model is and took."""
    rows = [
        [
            _named(each.name, each.summary),
            escape(each.view.name),
            grouped(each.parameters),
            escape(duration(each.seconds)),
            f"<span class='loose'>{escape(each.settings or _DASH)}</span>",
        ]
        for each in exhibits
    ]
    return _table(["model", "sees data as", "parameters", "training", "options, and trained by"], rows)


def notes(exhibits: Sequence[Exhibit]) -> str:
    """Return what was not measured, and why."""
    said = [f"<li>{escape(each.name)}: {escape(note)}</li>" for each in exhibits for note in each.evaluation.notes]
    return f"<ul class='notes'>{''.join(said)}</ul>"


def _likelihood_rows(group: Sequence[Exhibit]) -> list[list[str]]:
    rows = []
    for each in group:
        best = best_likelihood(each.evaluation)
        bits = next((metric for metric in each.evaluation if metric.name == "bits_per_dim"), None)
        rows.append([escape(each.name), *_figures(best, bits), _meaning(best)])
    metrics = {metric.name: metric for each in reversed(group) for metric in each.evaluation}
    floor = metrics.get("log_likelihood_floor")
    if floor is not None:
        rows.append(["<em>floor</em>", *_figures(floor, metrics.get("bits_per_dim_floor")), _meaning(floor)])
    return rows


def _figures(nats: Metric | None, bits: Metric | None) -> list[str]:
    return [escape(marked(nats)), escape(marked(bits)), _DASH if nats is None else str(nats.n)]


def _meaning(metric: Metric | None) -> str:
    if metric is None:
        return "<span class='loose'>none<small>it can be drawn from and scores nothing</small></span>"
    note = f"<small>{escape(metric.note)}</small>" if metric.note else ""
    return f"<span class='loose'>{escape(metric.kind)}{note}</span>"


def _quality_rows(group: Sequence[Exhibit]) -> list[list[str]]:
    """Return a row for each model, the nearest to data first, between the floor and the ceiling of the first of them."""

    def told_apart(exhibit: Exhibit) -> float:
        return next((metric.value for metric in exhibit.evaluation if metric.name == "c2st_accuracy"), 2.0)

    by_name = group[0].evaluation
    return [
        [_named("<em>floor</em>", _PERFECT, safe=True), *_quality(by_name, "_floor")],
        *([_named(each.name), *_quality(each.evaluation, "")] for each in sorted(group, key=told_apart)),
        [_named("<em>ceiling</em>", _USELESS, safe=True), *_quality(by_name, "_ceiling")],
    ]


def _quality(evaluation: Evaluation, ending: str) -> list[str]:
    by_name = {metric.name: metric for metric in evaluation}
    found = [by_name.get(name + ending) for name in _QUALITY]
    n = next((metric.n // 2 for metric in found[1:] if metric is not None), None)
    accuracy, *others = found
    cells = [_DASH if each is None else escape(measured(each.value, each.stderr)) for each in others]
    return [_meter(accuracy), *cells, _DASH if n is None else str(n)]


def _meter(accuracy: Metric | None) -> str:
    """Return an accuracy with a bar that is empty at chance and full at certainty."""
    if accuracy is None:
        return _DASH
    share = min(1.0, max(0.0, 2 * accuracy.value - 1))
    words = escape(measured(accuracy.value, accuracy.stderr))
    return f"<span class='meter' style='--share:{100 * share:.0f}%'></span>{words}"


def _headed(group: Sequence[Exhibit], table: str) -> str:
    return f"<h3>Of {escape(noun(group))}</h3>{table}"


def _named(name: str, note: str = "", *, safe: bool = False) -> str:
    return (name if safe else escape(name)) + (f"<small>{escape(note)}</small>" if note else "")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>{''.join(f'<td class=number>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

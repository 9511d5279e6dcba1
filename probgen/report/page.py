"""The report's page: one HTML file with everything in it, which needs neither network nor scripts."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from probgen.evaluation import Evaluation, Metric
from probgen.report.facts import RunFacts
from probgen.report.numbers import duration, measured, typed
from probgen.report.sheet import SHEET

__all__ = ["Picture", "document", "grouped", "headline", "page", "section"]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Args:
        heading: What stands above it.
        description: What it shows, in a sentence: the caption and the alternative text.
        png: The file's content.
    """

    heading: str
    description: str
    png: bytes


def page(facts: RunFacts, evaluation: Evaluation, pictures: Sequence[Picture]) -> str:
    """Return the page as HTML."""
    title = f"{facts.model} on {facts.data}"
    body = [
        f"<header><p class='kicker'>probgen run, {escape(facts.created[:16].replace('T', ' '))}</p><h1>{escape(title)}</h1>"
        f"<p class='lead'>{escape(facts.summary)}</p></header>",
        *(f"<p class='warning' role='alert'>Warning: {escape(warning)}</p>" for warning in facts.warnings),
        _cards(facts, evaluation),
        *map(_picture, pictures),
        _figures(evaluation),
        section("The run", _definitions(_run(facts, evaluation))),
        section("Options of the model", _definitions(_typed(facts.options))) if facts.options else "",
        section("Settings of training", _definitions(_typed(facts.training))),
        section("Versions", _definitions(facts.versions)),
        section("Again", f"<pre><code>{escape(facts.command)}</code></pre>"),
    ]
    return document(title, body)


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML document with the reports' look, of parts that are HTML already; empty ones are left out."""
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        "<meta name='color-scheme' content='light dark'>\n"
        f"<title>{escape(title)}</title>\n<style>{SHEET}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n</body>\n</html>\n"
    )


def headline(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the figures that say most in least space: the likelihoods of the model itself, in nats and in bits."""
    own = [metric for metric in metrics if not metric.name.endswith(("_floor", "_ceiling", "_in_view"))]
    nats = [metric for metric in own if metric.unit == "nats"]
    bits = [metric for metric in own if metric.unit == "bits/dim"]
    return [*nats[:2], *bits[:1]] or own[:2]


def _cards(facts: RunFacts, evaluation: Evaluation) -> str:
    cards = [
        (_words(metric.name), measured(metric.value, metric.stderr), f"{metric.unit}, {metric.kind}")
        for metric in headline(evaluation)
    ]
    cards.append(("parameters", grouped(facts.parameters), "learned"))
    cards.append(("training", duration(facts.seconds), ""))
    items = "".join(
        f"<li><span class='name'>{escape(name)}</span><strong>{_with_small_error(value)}</strong>"
        f"<span class='unit'>{escape(unit)}</span></li>"
        for name, value, unit in cards
    )
    return f"<ul class='cards'>{items}</ul>"


def _with_small_error(value: str) -> str:
    number, sign, error = value.partition(" ± ")
    return escape(number) + (f" <span>± {escape(error)}</span>" if sign else "")


def _picture(picture: Picture) -> str:
    source = base64.b64encode(picture.png).decode()
    words = escape(picture.description)
    return section(
        picture.heading,
        f"<figure><img src='data:image/png;base64,{source}' alt='{words}'><figcaption>{words}</figcaption></figure>",
    )


def _figures(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(_words(metric.name))}"
        f"{f'<small>{escape(metric.note)}</small>' if metric.note else ''}</th>"
        f"<td class='number'>{escape(measured(metric.value, metric.stderr))}</td><td>{escape(metric.unit)}</td>"
        f"<td>{escape(metric.kind)}</td><td class='number'>{metric.n}</td></tr>"
        for metric in evaluation
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in evaluation.notes)
    return section(
        "Held-out figures",
        f"<p>On the {escape(evaluation.split)} split. Values stand with one standard error.</p>"
        "<div class='wide'><table><thead><tr><th scope='col'>what</th><th scope='col'>value</th><th scope='col'>unit</th>"
        f"<th scope='col'>kind</th><th scope='col'>n</th></tr></thead><tbody>{rows}</tbody></table></div>"
        + (f"<ul class='notes'>{notes}</ul>" if notes else ""),
    )


def _run(facts: RunFacts, evaluation: Evaluation) -> dict[str, str]:
    objectives = facts.objectives
    trained = "; ".join(objectives.values() if len(objectives) == 1 else (f"{k}: {v}" for k, v in objectives.items()))
    return {
        "model": facts.model,
        "data": facts.data,
        "view": facts.view,
        "context": facts.context or "none",
        "objective": trained or "none",
        **facts.used,
        "parameters": grouped(facts.parameters),
        "training time": duration(facts.seconds),
        "evaluation time": duration(evaluation.seconds),
    }


def _typed(options: Mapping[str, Any]) -> dict[str, str]:
    return {name: typed(value) for name, value in options.items() if value is not None}


def _definitions(entries: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in entries.items())
    return f"<dl>{rows}</dl>"


def section(heading: str, content: str) -> str:
    """Return a part of a page under a heading; the content is HTML already."""
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def grouped(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _words(name: str) -> str:
    return name.replace("_", " ")

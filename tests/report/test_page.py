"""The page: everything in one file, everything escaped, every picture described."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from probgen.evaluation import Evaluation, Metric
from probgen.report import RunFacts, headline
from probgen.report.page import Picture, page

FACTS = RunFacts(
    model="toy/gaussian",
    summary="Gaussians <b>bold</b> & cheap.",
    data="moons",
    view="view 'real' of moons",
    parameters=123456,
    seconds=75.0,
    objectives={"main": "log_prob [nats]"},
    used={"estimator": "maximum-likelihood", "learning rate": "0.001, adam"},
    context="label",
    warnings=("log_prob <got> worse.",),
    options={"hidden": [20, 20], "prior": None, "title": "<script>alert(1)</script>"},
    training={"steps": 10, "seed": 0},
    versions={"probgen": "0.1.0"},
    command="probgen train toy/gaussian --data 'my data.csv'",
    created="2026-01-31T10:20:30+01:00",
)
EVALUATION = Evaluation(
    metrics=(
        Metric("log_likelihood_floor", -5.0, "exact", "nats", 0.1, 50),
        Metric("log_likelihood", -2.0, "lower bound", "nats", 0.1, 50, note="uniform <noise>"),
        Metric("bits_per_dim", 1.5, "upper bound", "bits/dim", 0.02, 50),
        Metric("mmd_p_value", 0.25, "estimate", "probability", None, 100),
    ),
    model="toy/gaussian",
    data="moons",
    view="real",
    split="test",
    seed=0,
    seconds=1.0,
    notes=("c2st is left out: too few examples",),
)
PICTURES = [
    Picture("Samples", 'Samples of "the" model.', b"\x89PNG first"),
    Picture("Training", "Curves.", b"\x89PNG second"),
]


class Reader(HTMLParser):
    VOID = frozenset({"meta", "img", "link", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def read():
    reader = Reader()
    reader.feed(page(FACTS, EVALUATION, PICTURES))
    return reader


def test_it_is_well_formed(read):
    assert read.open == []
    assert read.attributes("html") == [{"lang": "en"}]
    assert len(read.attributes("title")) == 1


def test_it_needs_nothing_else(read):
    names = {name for name, _ in read.tags}
    assert not names & {"script", "link", "iframe", "object"}
    assert all(image["src"].startswith("data:image/png;base64,") for image in read.attributes("img"))
    assert not re.findall(r"https?://|url\(|@import", page(FACTS, EVALUATION, PICTURES))


def test_every_picture_is_described(read):
    assert [image["alt"] for image in read.attributes("img")] == ['Samples of "the" model.', "Curves."]


def test_what_was_typed_is_text(read):
    assert "<script>alert(1)</script>" in "".join(read.text)
    assert "Gaussians <b>bold</b> & cheap." in "".join(read.text)


def test_it_is_light_and_dark(read):
    assert {"name": "color-scheme", "content": "light dark"} in read.attributes("meta")
    assert "prefers-color-scheme: dark" in "".join(read.text)


def test_each_figure_says_what_it_is(read):
    text = "".join(read.text)
    for words in ("log likelihood", "−2.00 ± 0.10", "lower bound", "uniform <noise>", "bits/dim", "c2st is left out"):
        assert words in text


def test_it_says_what_was_run(read):
    text = "".join(read.text)
    for words in ("1 min 15 s", "20,20", "log_prob [nats]", "probgen train toy/gaussian --data 'my data.csv'", "0.1.0"):
        assert words in text
    assert "prior" not in text  # it was left at none


def test_it_says_what_was_used_where_nothing_was_asked_for(read):
    text = "".join(read.text)
    for words in ("estimatormaximum-likelihood", "learning rate0.001, adam", "contextlabel"):
        assert words in text


def test_a_warning_stands_above_the_figures(read):
    text = "".join(read.text)
    assert text.index("Warning: log_prob <got> worse.") < text.index("log likelihood")
    assert "Warning" not in page(dataclasses.replace(FACTS, warnings=()), EVALUATION, PICTURES)


def test_several_stages_are_named():
    facts = dataclasses.replace(FACTS, objectives={"code": "elbo [nats]", "prior": "log_prob [nats]"})
    assert "code: elbo [nats]; prior: log_prob [nats]" in page(facts, EVALUATION, [])


def test_the_headline_is_the_models_own_likelihood():
    assert [metric.name for metric in headline(EVALUATION)] == ["log_likelihood", "bits_per_dim"]
    alone = [Metric("mmd_p_value", 0.5, "estimate", "probability", None, 10)]
    assert headline(alone) == alone
    assert headline([]) == []

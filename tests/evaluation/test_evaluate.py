"""`evaluate` chooses by capability, leaves the model as it was, and repeats itself."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import constraints

from probgen.capabilities import UnnormalizedDensity
from probgen.data import as_source
from probgen.data.source import Source
from probgen.density import Density
from probgen.errors import CapabilityError, ConfigurationError, DataError, RunError, ShapeError, UnknownNameError
from probgen.evaluation import Metric, evaluate
from probgen.evaluation.samples import draw_populations
from probgen.evaluation.subject import Subject
from probgen.latent import LatentVariable
from probgen.plugin import MetricSpec, Option
from probgen.plugin.records import Registered
from probgen.sampler import Sampler

TWO_SAMPLE = {
    f"{name}{end}" for name in ("mmd_squared", "mmd_p_value", "c2st_accuracy") for end in ("", "_floor", "_ceiling")
}
LEAN = {"num_samples": 60, "batch_size": 64}


class Gaussian(nn.Module, Density, Sampler):
    """A standard Gaussian moved by `shift`; batch normalisation and dropout betray a forgotten training mode."""

    support = constraints.real
    context_shape = None
    event_shape = torch.Size([2])

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.full((2,), shift))
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)

    def _log_prob(self, x, context):
        self.drop(self.norm(x))
        return torch.distributions.Normal(self.shift, 1.0).log_prob(x).sum(1)

    def _sample(self, n, context):
        return self.shift + torch.randn(n, 2)


class LabelledGaussian(Gaussian):
    """A Gaussian about a place that depends on the label."""

    context_shape = torch.Size([3])

    def centre(self, context):
        return torch.stack([context.argmax(1) * 10.0, torch.zeros(len(context))], 1)

    def _log_prob(self, x, context):
        return super()._log_prob(x - self.centre(context), None)

    def _sample(self, n, context):
        return super()._sample(n, None) + self.centre(context)


class Energy(UnnormalizedDensity):
    support = constraints.real
    context_shape = None
    event_shape = torch.Size([2])

    def _energy(self, x, context):
        return x.square().sum(1)


class Pair(LatentVariable):
    """A latent-variable model of the standard Gaussian, with its prior as guide."""

    support = constraints.real
    context_shape = None
    event_shape = torch.Size([2])

    def model(self, x, context=None):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 0.6).to_event(1))
            pyro.sample("x", dist.Normal(z, 0.8).to_event(1), obs=x)

    def guide(self, x, context=None):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 0.6).to_event(1))


class Broken(Gaussian):
    def _sample(self, n, context):
        return torch.full((n, 2), torch.nan)


@pytest.fixture(autouse=True)
def _short_training(monkeypatch) -> None:
    """Train the classifier for less long: these tests are about what is compared, not about its power."""
    monkeypatch.setattr("probgen.evaluation.classifier._EPOCHS", 30)


@pytest.fixture
def source() -> Source:
    rows = torch.randn(600, 2)
    return Source(name="gaussian", splits={"train": rows[:400], "test": rows[400:]}, kind="real")


@pytest.fixture
def labelled() -> Source:
    labels = torch.arange(600) % 3
    rows = torch.randn(600, 2) + torch.stack([labels * 10.0, torch.zeros(600)], 1)
    return Source(
        name="labelled",
        splits={"train": rows[:400], "test": rows[400:]},
        labels={"train": labels[:400], "test": labels[400:]},
        kind="real",
    )


# ----------------------------------------------------------------------------------------------------- what is measured


def test_a_density_that_samples_gets_everything(source):
    result = evaluate(Gaussian(), source, view="raw", **LEAN)
    assert set(result.names) == {"log_likelihood"} | TWO_SAMPLE
    assert (result.model, result.data, result.view, result.split) == ("Gaussian", "gaussian", "raw", "test")
    assert result.notes == ()
    assert result.seconds > 0
    assert all(metric.n > 0 and metric.unit for metric in result)
    assert json.dumps(result.to_json(), allow_nan=False)


def test_a_pair_gets_its_bound_and_its_importance_sampled_likelihood(source):
    result = evaluate(Pair(), source, view="raw", num_particles=40, **LEAN)
    assert result.names == ("elbo", "importance_sampled_log_likelihood")
    assert {metric.kind for metric in result} == {"lower bound"}
    exact = evaluate(Gaussian(), source, view="raw", metrics=["likelihood"])["log_likelihood"]
    assert result["elbo"].value < result["importance_sampled_log_likelihood"].value < exact.value
    assert "IS-40" in result["importance_sampled_log_likelihood"].note
    assert [note.split()[0] for note in result.notes] == ["mmd", "c2st"]


def test_an_energy_alone_gets_no_number_and_is_told_why(source):
    result = evaluate(Energy(), source, view="raw")
    assert len(result) == 0
    assert "log-partition" in result.notes[0]


def test_distributions_of_torch_are_models(source):
    model = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), 1.0), 1)
    result = evaluate(model, source, view="raw", metrics=["likelihood"])
    assert result["log_likelihood"].value == pytest.approx(
        evaluate(Gaussian(), source, view="raw", metrics=["likelihood"])["log_likelihood"].value
    )


def test_the_floor_s_own_model_is_as_good_as_the_floor():
    digits = as_source("digits")
    bits = digits.view("binary").split("train").all().x
    frequencies = (bits.sum(0) + 1) / (len(bits) + 2)
    model = torch.distributions.Independent(torch.distributions.Bernoulli(frequencies), 3)
    result = evaluate(model, digits, num_samples=100)
    assert result.view == "binary"
    for name in ("log_likelihood", "bits_per_dim"):
        assert result[name].value == pytest.approx(result[f"{name}_floor"].value, rel=1e-5)
        assert result[name].kind == "exact"
    assert (
        abs(result["c2st_accuracy"].value - result["c2st_accuracy_ceiling"].value)
        < 5 * 2**0.5 * result["c2st_accuracy"].stderr
    )


def test_a_good_model_looks_like_the_floor_and_a_bad_one_does_not(source):
    good, bad = (evaluate(Gaussian(shift), source, view="raw", num_samples=200) for shift in (0.0, 3.0))
    assert abs(good["c2st_accuracy"].value - 0.5) < 5 * good["c2st_accuracy"].stderr
    assert good["mmd_p_value"].value > 0.001
    assert bad["c2st_accuracy"].value > 0.9
    assert bad["mmd_p_value"].value == 0.001
    assert bad["mmd_squared"].value > 10 * abs(bad["mmd_squared_floor"].value)
    assert bad["mmd_squared_floor"] == good["mmd_squared_floor"]
    assert "MLPClassifier" in good["c2st_accuracy"].note


def test_ceiling_forgets_how_entries_hang_together():
    angle = 2 * torch.pi * torch.rand(900)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    rings = Source(name="ring", splits={"train": ring[:600], "test": ring[600:]}, kind="real")
    result = evaluate(Gaussian(), rings, view="raw", metrics=["c2st", "mmd"], num_samples=300)
    floor, ceiling = result["c2st_accuracy_floor"], result["c2st_accuracy_ceiling"]
    assert ceiling.value > floor.value + 5 * floor.stderr
    assert result["mmd_p_value_ceiling"].value == 0.001


def test_samples_are_put_on_the_lattice_of_the_data():
    """A model that draws 0.98 where the data say 1 is a perfect model of them."""

    class NearlyBits(Sampler):
        support = constraints.boolean
        context_shape = None
        event_shape = torch.Size([3])

        def _sample(self, n, context):
            return (torch.rand(n, 3) < 0.5) * 0.96 + 0.02

    bits = torch.randint(2, (500, 3))
    source = Source(name="bits", splits={"train": bits[:300], "test": bits[300:]}, kind="binary")
    populations = draw_populations(Subject(model=NearlyBits(), view=source.view("binary"), num_samples=50))
    assert set(populations.compared[""].unique().tolist()) == {0.0, 1.0}


def test_a_conditional_model_draws_for_held_out_contexts_that_the_reference_does_not_share(labelled):
    subject = Subject(model=LabelledGaussian(), view=labelled.view("raw", context="label"))
    populations = draw_populations(subject)
    assert len(populations.reference) == len(populations.compared[""]) == 100
    labels = {
        name: (x[:, 0] / 10).round() for name, x in (("data", populations.reference), ("model", populations.compared[""]))
    }
    assert not torch.equal(labels["data"], labels["model"])
    counts = torch.bincount(torch.cat(list(labels.values())).clamp(0, 2).long(), minlength=3)
    assert counts.tolist() == torch.bincount(labelled.labels["test"], minlength=3).tolist()


def test_a_conditional_model_is_scored_with_its_labels(labelled):
    found = evaluate(LabelledGaussian(), labelled, view="raw", metrics=["likelihood"])["log_likelihood"]
    assert abs(found.value + 2.8379) < 5 * found.stderr  # the entropy of two standard Gaussians


# --------------------------------------------------------------------------------------- what stays, and what comes again


def test_the_model_and_the_global_streams_are_left_as_they_were(source):
    model = Gaussian().train()
    model.drop.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    evaluate(model, source, view="raw", **LEAN)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert model.norm.training
    assert not model.drop.training
    assert model.shift.grad is None
    assert torch.equal(stream, torch.get_rng_state())


def test_modes_return_after_a_failure(source):
    class Failing(Gaussian):
        def _log_prob(self, x, context):
            raise ZeroDivisionError

    model = Failing().train()
    with pytest.raises(ZeroDivisionError):
        evaluate(model, source, view="raw")
    assert model.training


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(source):
    results = []
    for seed in (1, 1, 2):
        torch.rand(3)  # the global stream has no say
        results.append(evaluate(Gaussian(), source, view="raw", seed=seed, **LEAN).metrics)
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_a_number_does_not_depend_on_what_else_is_measured(source):
    whole = evaluate(Gaussian(), source, view="raw", **LEAN)
    for names in (["c2st"], ["mmd"], ["likelihood"]):
        for metric in evaluate(Gaussian(), source, view="raw", metrics=names, **LEAN):
            assert metric == whole[metric.name]


def test_nothing_is_drawn_or_scored_in_more_than_a_batch(source):
    sizes = []

    class Counting(Gaussian):
        def _log_prob(self, x, context):
            sizes.append(len(x))
            return super()._log_prob(x, context)

        def _sample(self, n, context):
            sizes.append(n)
            return super()._sample(n, context)

    evaluate(Counting(), source, view="raw", batch_size=33, num_samples=100, metrics=["likelihood", "mmd"])
    assert max(sizes) == 33
    assert sum(sizes) == 200 + 100


# ---------------------------------------------------------------------------------------------------------- what is refused


def test_unknown_names_are_answered_with_a_suggestion(source):
    with pytest.raises(UnknownNameError, match="Did you mean 'likelihood'"):
        evaluate(Gaussian(), source, view="raw", metrics=["likelyhood"])
    with pytest.raises(DataError, match="expected a split"):
        evaluate(Gaussian(), source, view="raw", split="tset")


def test_a_measurement_that_was_asked_for_and_does_not_fit_is_an_error(source):
    with pytest.raises(CapabilityError, match="Sampler"):
        evaluate(Energy(), source, view="raw", metrics=["mmd"])
    with pytest.raises(CapabilityError, match="log_partition: expected"):
        evaluate(Energy(), source, view="raw", metrics=["likelihood"])


def test_draws_that_are_not_numbers_are_reported(source):
    result = evaluate(Broken(), source, view="raw", **LEAN)
    assert "log_likelihood" in result
    assert "NaN or infinity in 60 of 60" in result.notes[0]
    with pytest.raises(RunError, match="expected finite draws"):
        evaluate(Broken(), source, view="raw", metrics=["c2st"], **LEAN)


def test_other_data_than_the_model_s_are_refused(labelled):
    wide = Source(name="wide", splits={"train": torch.randn(9, 3), "test": torch.randn(9, 3)}, kind="real")
    with pytest.raises(DataError, match=r"events of shape \(2,\), as Gaussian was made for; got \(3,\) in view 'raw'"):
        evaluate(Gaussian(), wide)
    with pytest.raises(DataError, match=r"contexts of shape none, as Gaussian was made for; got \(3,\)"):
        evaluate(Gaussian(), labelled, context="label")
    with pytest.raises(ShapeError, match=r"event_shape \(2,\), as the model; got \(3,\) from view 'raw' of wide"):
        evaluate(Gaussian(), wide.view("raw"))


@pytest.mark.parametrize("name", ["num_particles", "num_samples", "batch_size", "max_examples"])
def test_sizes_below_one_are_refused(name, source):
    with pytest.raises(ConfigurationError, match=f"expected {name} of at least 1; got 0"):
        evaluate(Gaussian(), source, view="raw", **{name: 0})


def test_a_view_of_the_data_needs_no_name(source):
    view = source.view("raw")
    assert evaluate(Gaussian(), view, metrics=["likelihood"]).view == "raw"
    with pytest.raises(ConfigurationError, match="beside a view"):
        evaluate(Gaussian(), view, view="raw")


# ------------------------------------------------------------------------------------------------------ plugins' metrics


def half(model, view, *, split, seed, scale):
    assert (view.name, split) == ("raw", "test")
    noise = float(torch.rand(()))
    return [Metric("half", scale / 2 + 0 * noise, "exact", "halves", None, len(view.split(split)), f"{seed} {noise}")]


def failing(model, view, **options):
    raise ZeroDivisionError("by zero")


def unfit(model, view, **options):
    raise CapabilityError("unfit: expected a Flow; got a Gaussian.")


def no_metric(model, view, **options):
    return [0.5]


def mmd(model, view, **options):
    raise AssertionError("a plugin took a name of the core's own")


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that registers the metrics of these names, as if a plugin did."""

    def register(*names):
        def record(name):
            options = (Option("scale", "float", 3.0, "A factor."),) if name == "half" else ()
            spec = MetricSpec(name, "A metric.", f"{__name__}:{name.replace('-', '_')}", options)
            monkeypatch.setattr(Registered, "load", lambda self, field="target": globals()[self.spec.name.replace("-", "_")])
            return Registered(spec, "odd", "probgen-odd", "0.1")

        metrics = {name: record(name) for name in names}
        monkeypatch.setattr("probgen.evaluation.registered.registry", lambda: SimpleNamespace(metrics=metrics))

    return register


def test_registered_metrics_are_measured_on_streams_of_their_own(plugin, source):
    plugin("half")
    first, second = (evaluate(Gaussian(), source, view="raw", metrics=["half"])["half"] for _ in range(2))
    assert (first.value, first.n) == (1.5, 200)
    assert first == second
    assert evaluate(Gaussian(), source, view="raw", metrics=["half"], seed=9)["half"].note != first.note
    assert "half" in evaluate(Gaussian(), source, view="raw", **LEAN)


def test_a_plugin_s_failure_is_reported_and_stops_nothing(plugin, source):
    plugin("failing", "unfit", "no-metric", "half")
    result = evaluate(Gaussian(), source, view="raw", **LEAN)
    assert {"half", "log_likelihood"} <= set(result.names)
    said = "\n".join(result.notes)
    assert "'failing' (probgen-odd 0.1): expected a list of metrics; got ZeroDivisionError: by zero" in said
    assert "unfit is left out: unfit: expected a Flow" in said
    assert "got one of float" in said
    for name, error in (("failing", RunError), ("unfit", CapabilityError), ("no-metric", RunError)):
        with pytest.raises(error):
            evaluate(Gaussian(), source, view="raw", metrics=[name])


def test_a_plugin_cannot_take_the_core_s_names(plugin, source):
    plugin("mmd")
    assert "mmd_squared" in evaluate(Gaussian(), source, view="raw", metrics=["mmd"], **LEAN)


def test_too_few_events_to_compare_are_a_note_and_no_end():
    few = Source(name="few", splits={"train": torch.randn(30, 2), "test": torch.randn(6, 2)}, kind="real")
    judged = evaluate(Gaussian(), few)
    assert "log_likelihood" in judged
    assert any("at least 10 events on each side; got 6 of split 'test'" in note for note in judged.notes)
    with pytest.raises(DataError, match="Hold out more data"):
        evaluate(Gaussian(), few, metrics=["mmd"])

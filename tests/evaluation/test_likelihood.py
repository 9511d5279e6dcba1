"""Held-out likelihoods: their units, their kinds, their bits per dimension, and the floor beside them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from probgen.capabilities import BoundedLikelihood, LogPartition, UnnormalizedDensity
from probgen.claims import Biased, Exact, Heuristic, LowerBound, Unbiased, UpperBound
from probgen.data.source import Source
from probgen.density import Density
from probgen.errors import CapabilityError
from probgen.evaluation.likelihood import likelihood_metrics
from probgen.evaluation.subject import Subject
from probgen.supports import categorical

MEANS = torch.tensor([10.0, -3.0])
SPREADS = torch.tensor([4.0, 0.5])


class Gaussian(nn.Module, Density):
    """Independent Gaussians, in whatever units they are given."""

    support = constraints.real
    context_shape = None

    def __init__(self, mean, scale, event_shape=(2,)) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.mean, self.scale = nn.Parameter(torch.as_tensor(mean)), torch.as_tensor(scale)

    def _log_prob(self, x, context):
        return torch.distributions.Normal(self.mean, self.scale).log_prob(x).flatten(1).sum(1)


class Uniform(Density):
    """A uniform density over pixels in [0, 1], or a uniform mass function over their levels."""

    context_shape = None
    event_shape = torch.Size([1, 2, 2])

    def __init__(self, support, log_density) -> None:
        self.support, self.log_density = support, log_density

    def _log_prob(self, x, context):
        return torch.full((len(x),), self.log_density)


class Bounded(BoundedLikelihood):
    support = constraints.real
    context_shape = None
    event_shape = torch.Size([2])

    def __init__(self, claim) -> None:
        self._claim = claim

    @property
    def bound_claim(self):
        return self._claim

    def _log_prob_bound(self, x, context):
        return -x.square().sum(1)


class Energy(UnnormalizedDensity):
    support = constraints.real
    context_shape = None
    event_shape = torch.Size([2])

    def _energy(self, x, context):
        return x.square().sum(1)


def table() -> Source:
    rows = MEANS + SPREADS * torch.randn(3000, 2)
    return Source(name="table", splits={"train": rows[:2000], "test": rows[2000:]}, kind="real")


def pictures(levels: int = 4) -> Source:
    pixels = torch.randint(levels, (300, 1, 2, 2), dtype=torch.uint8)
    return Source(
        name="pictures", splits={"train": pixels[:200], "test": pixels[200:]}, kind="levels", levels=levels, is_image=True
    )


def measured(model, view, **options):
    return {metric.name: metric for metric in likelihood_metrics(Subject(model=model, view=view, **options))}


def test_log_likelihood_is_the_mean_over_the_test_split():
    source = table()
    model = Gaussian(MEANS, SPREADS)
    metric = measured(model, source.view("raw"))["log_likelihood"]
    scores = model.log_prob(source.splits["test"]).detach().double()
    assert metric.value == pytest.approx(float(scores.mean()), abs=1e-6)
    assert metric.stderr == pytest.approx(float(scores.std() / math.sqrt(1000)), rel=1e-5)
    assert (metric.kind, metric.unit, metric.n) == ("exact", "nats", 1000)


def test_it_agrees_with_the_entropy_within_its_own_error():
    metric = measured(Gaussian(MEANS, SPREADS), table().view("raw"))["log_likelihood"]
    entropy = torch.distributions.Normal(MEANS, SPREADS).entropy().sum()
    assert abs(metric.value + float(entropy)) < 5 * metric.stderr


def test_standardised_figures_are_returned_to_the_data_s_own_units():
    """The same density, said in the view's units, has the same likelihood of the data."""
    source = table()
    train = source.splits["train"].double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    own = measured(Gaussian(MEANS, SPREADS), source.view("raw"))
    standardised = measured(Gaussian((MEANS - mean) / deviation, SPREADS / deviation), source.view("real"))
    assert standardised["log_likelihood"].value == pytest.approx(own["log_likelihood"].value, abs=1e-5)
    difference = standardised["log_likelihood_in_view"].value - standardised["log_likelihood"].value
    assert difference == pytest.approx(float(deviation.log().sum()), abs=1e-6)
    assert difference > 0.5
    assert "log_likelihood_in_view" not in own


def test_a_density_over_dequantised_levels_bounds_their_probability():
    """A uniform density over [0, 1] is a uniform mass function: log2(levels) bits for each pixel, whatever the noise."""
    found = measured(Uniform(constraints.unit_interval, 0.0), pictures(4).view("unit-interval"))
    assert found["log_likelihood"].value == pytest.approx(-4 * math.log(4))
    assert found["log_likelihood"].kind == "lower bound"
    assert found["log_likelihood_in_view"].value == 0.0
    assert found["log_likelihood_in_view"].kind == "exact"
    assert found["bits_per_dim"].value == pytest.approx(2.0)
    assert found["bits_per_dim"].kind == "upper bound"
    assert "dequantisation" in found["bits_per_dim"].note


def test_bits_per_dim_follow_the_published_formula():
    """(negative log-likelihood on [0, 1] / D + ln 256) / ln 2, and not that without its ln 256."""
    model = Gaussian(torch.full((1, 2, 2), 0.4), torch.full((1, 2, 2), 0.3), event_shape=(1, 2, 2))
    model.support = constraints.unit_interval
    found = measured(model, pictures(256).view("unit-interval"))
    nll = -found["log_likelihood_in_view"].value
    assert found["bits_per_dim"].value == pytest.approx((nll / 4 + math.log(256)) / math.log(2))
    assert found["bits_per_dim"].stderr == pytest.approx(found["log_likelihood"].stderr / (4 * math.log(2)))


def test_a_mass_function_over_levels_is_exact():
    found = measured(Uniform(constraints.integer_interval(0, 3), -4 * math.log(4)), pictures(4).view("categorical"))
    assert found["log_likelihood"].kind == found["bits_per_dim"].kind == "exact"
    assert found["bits_per_dim"].value == pytest.approx(2.0)
    assert "log_likelihood_in_view" not in found


def test_bits_of_a_lossy_view_are_said_not_to_be_the_raw_data():
    found = measured(Uniform(constraints.boolean, -4 * math.log(2)), pictures(4).view("binary-renewed"))
    assert found["bits_per_dim"].value == pytest.approx(1.0)
    assert "not the raw data" in found["log_likelihood"].note
    assert "drawn once" in found["log_likelihood"].note


def test_bits_mean_nothing_for_real_data():
    assert "bits_per_dim" not in measured(Gaussian(MEANS, SPREADS), table().view("raw"))


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        (LowerBound("log_prob"), "lower bound"),
        (UpperBound("log_prob"), "upper bound"),
        (Exact("log_prob"), "exact"),
        (Unbiased("log_prob"), "estimate"),
        (Biased("log_prob", "something"), "estimate"),
        (Heuristic("nobody knows"), "estimate"),
    ],
)
def test_a_bound_is_of_the_kind_that_it_claims(claim, kind):
    metric = measured(Bounded(claim), table().view("raw"))["log_prob_bound"]
    assert metric.kind == kind
    assert str(claim) in metric.note


def test_a_model_without_a_likelihood_says_so():
    with pytest.raises(CapabilityError, match="log-partition"):
        measured(Energy(), table().view("raw"))


def test_a_conditional_energy_has_no_single_log_partition():
    model = Energy()
    model.context_shape = torch.Size([3])
    source = Source(
        name="labelled", splits={"train": torch.randn(30, 2)}, kind="real", labels={"train": torch.arange(30) % 3}
    )
    with pytest.raises(CapabilityError, match="without context"):
        measured(model, source.view("raw", context="label"), split="train")


class TestEstimatedLogPartition:
    """The standard Gaussian, known by its energy and by what it is told of the constant."""

    truth = math.log(2 * math.pi)

    def found(self, claim, stderr=0.3, source=None):
        model = Energy()
        model._energy = lambda x, context: 0.5 * x.square().sum(1)
        model._log_partition = lambda context, num_particles: LogPartition(
            torch.tensor(self.truth), torch.tensor(stderr), claim, f"a guess from {num_particles} draws"
        )
        return measured(model, (source or table()).view("raw"), num_particles=7)["log_likelihood"]

    def test_its_error_is_not_averaged_away(self):
        source = table()
        gaussian = measured(Gaussian(torch.zeros(2), torch.ones(2)), source.view("raw"))["log_likelihood"]
        metric = self.found(LowerBound("log_partition"), source=source)
        assert metric.value == pytest.approx(gaussian.value, rel=1e-6)
        assert metric.stderr == pytest.approx(math.hypot(gaussian.stderr, 0.3), rel=1e-6)
        assert gaussian.stderr < metric.stderr

    def test_it_is_an_estimate_that_says_where_it_errs(self):
        metric = self.found(LowerBound("log_partition"))
        assert metric.kind == "estimate"
        assert "1.84 ± 0.30 nats by a guess from 7 draws" in metric.note
        assert "errs upwards" in metric.note
        assert "errs downwards" in self.found(UpperBound("log_partition")).note

    def test_where_it_is_exact_so_is_the_likelihood(self):
        metric = self.found(Exact("log_partition"), stderr=0.0)
        assert metric.kind == "exact"
        assert "errs" not in metric.note

    def test_bits_carry_the_error_too(self):
        source = pictures()

        class Flat(Energy):
            support, event_shape = categorical(4), torch.Size([1, 2, 2])

            def _energy(self, x, context):
                return torch.zeros(len(x))

            def _log_partition(self, context, num_particles):
                value = torch.tensor(4 * math.log(4))
                return LogPartition(value, torch.tensor(0.5), LowerBound("log_partition"), "counting")

        metrics = measured(Flat(), source.view("categorical"))
        assert metrics["bits_per_dim"].value == pytest.approx(2.0)
        assert metrics["bits_per_dim"].stderr == pytest.approx(0.5 / (4 * math.log(2)))


def test_batches_and_subsets_change_nothing_but_n():
    view = table().view("raw")
    model = Gaussian(MEANS, SPREADS)
    whole, small = (measured(model, view, batch_size=size)["log_likelihood"] for size in (1000, 7))
    assert small.value == pytest.approx(whole.value, abs=1e-6)
    part = measured(model, view, max_examples=50)["log_likelihood"]
    assert part.n == 50
    assert abs(part.value - whole.value) < 5 * part.stderr


def test_floor_is_the_smoothed_histogram():
    source = Source(
        name="bits",
        splits={"train": torch.tensor([[0, 1], [1, 1], [1, 1]]), "test": torch.tensor([[0, 1], [1, 0]])},
        kind="binary",
    )
    model = Uniform(constraints.boolean, 0.0)
    model.event_shape = torch.Size([2])
    floor = measured(model, source.view("binary"))["log_likelihood_floor"]
    assert floor.value == pytest.approx((math.log(2 / 5 * 4 / 5) + math.log(3 / 5 * 1 / 5)) / 2)
    assert floor.kind == "exact"


@pytest.mark.parametrize(("name", "published"), [("nltcs", -9.234), ("plants", -31.266), ("dna", -100.386)])
def test_floor_is_the_published_one(name, published, data_root):
    from probgen.data import as_source

    source = as_source(data_root / "binary20" / f"{name}.npz")
    model = Uniform(constraints.boolean, 0.0)
    model.event_shape = source.event_shape
    assert measured(model, source.view("binary"))["log_likelihood_floor"].value == pytest.approx(published, abs=6e-4)

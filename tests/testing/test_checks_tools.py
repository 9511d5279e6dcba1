"""What the checks of models are made of: events, integrals, references, evidence, and a look at what a model holds."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions, nn
from torch.distributions import constraints

from probgen import as_model
from probgen.supports import categorical, inside, levels, support_name
from probgen.testing.checks.cubature import mass_on_the_line, mass_on_the_plane
from probgen.testing.checks.evidence import exact_evidence
from probgen.testing.checks.holdings import held_tensors
from probgen.testing.checks.inputs import double, dtype_of, listed_events, some_contexts, some_events, still
from probgen.testing.checks.references import references_near
from probgen.testing.trial import NotApplicable
from probgen.testing.twins.originals import BitPair, Coins, Gaussian, NormalPair


class Bare:
    """A model's shapes and nothing else."""

    def __init__(self, support, event_shape=(), context_shape=None):
        self.support = support
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)


SUPPORTS = (
    constraints.boolean,
    categorical(5),
    constraints.nonnegative_integer,
    constraints.unit_interval,
    constraints.positive,
    constraints.real,
    constraints.interval(-2.0, 3.0),
    constraints.greater_than(1.5),
    constraints.integer_interval(3, 7),
)


@given(
    support=st.sampled_from(SUPPORTS),
    event_shape=st.lists(st.integers(1, 3), max_size=3),
    n=st.integers(0, 5),
    context_shape=st.none() | st.lists(st.integers(1, 3), max_size=2),
)
def test_events_have_their_shape_and_lie_in_the_support(support, event_shape, n, context_shape):
    bare, generator = Bare(support, event_shape, context_shape), torch.Generator().manual_seed(0)
    events = some_events(bare, n, generator)
    assert events.shape == (n, *event_shape)
    assert inside(support, events, len(event_shape)).all()
    contexts = some_contexts(bare, n, generator)
    assert contexts is None if context_shape is None else contexts.shape == (n, *context_shape)


def test_events_on_a_simplex():
    events = some_events(Bare(constraints.simplex, (4,)), 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(events.sum(-1), torch.ones(3))


def test_finite_events_are_listed_once_each():
    assert len(listed_events(Bare(constraints.boolean, (3, 2))).unique(dim=0)) == 64
    assert listed_events(Bare(categorical(4), (6,))).shape == (4096, 6)
    assert listed_events(Bare(constraints.boolean, (13,))) is None
    assert listed_events(Bare(constraints.real)) is None


@pytest.mark.parametrize("support", [constraints.boolean, constraints.nonnegative_integer, constraints.real, categorical(3)])
def test_a_copied_support_keeps_its_name(support):
    copied = copy.deepcopy(support)
    assert copied is not support
    assert support_name(copied) == support_name(support)


def test_a_copied_model_knows_its_levels():
    assert levels(copy.deepcopy(Coins()).support) == 2


def test_copies_are_in_evaluation_mode_and_leave_the_subject_alone():
    subject = Gaussian().train()
    assert not still(subject).training
    assert double(subject).loc.dtype is torch.float64
    assert subject.training
    assert subject.loc.dtype is torch.float32


def test_the_type_of_a_model_without_parameters_is_that_of_what_it_holds():
    model = as_model(distributions.Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)))
    assert dtype_of(model) is torch.float64


def test_held_tensors_are_found_wherever_they_are():
    class Part:
        def __init__(self):
            self.inner = {"a": [torch.zeros(1)]}

    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2))
    model.register_buffer("mask", torch.ones(2))
    model.part, model.same = Part(), model.weight
    assert [name for name, _ in held_tensors(model)] == ["weight", "mask", "part.inner.a.0"]


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize(
    ("law", "entry"),
    [
        (distributions.Normal(0.0, 1.0), constraints.real),
        (distributions.Normal(20.0, 0.1), constraints.real),
        (distributions.Gamma(0.6, 2.0), constraints.positive),
        (distributions.Beta(0.7, 3.0), constraints.unit_interval),
    ],
)
def test_masses_on_line_and_plane(law, entry, near):
    torch.manual_seed(0)
    line, plane = (law.sample((512, d)).double() if near else None for d in (1, 2))
    mass, _ = mass_on_the_line(lambda x: law.log_prob(x[:, 0]) + 0.1, entry, line)
    assert abs(mass - math.exp(0.1)) < 1e-6
    mass, error = mass_on_the_plane(lambda x: law.log_prob(x).sum(-1) + 0.1, entry, plane)
    assert abs(mass - math.exp(0.1)) < 1e-6 + error
    assert error < 1e-5


def test_a_spike_between_the_nodes_is_found_where_draws_crowd():
    parts = torch.tensor([[0.0, 0.0], [1.234, -0.777]]).double(), torch.tensor([[1.0, 1.0], [1e-3, 1e-3]]).double()
    weights = distributions.Categorical(torch.tensor([0.9, 0.1]).double())
    law = distributions.MixtureSameFamily(weights, distributions.Independent(distributions.Normal(*parts), 1))
    torch.manual_seed(0)
    mass, error = mass_on_the_plane(law.log_prob, constraints.real, law.sample((512,)))
    assert abs(mass - 1) < 1e-6 + error
    missed, error = mass_on_the_plane(
        law.log_prob, constraints.real, distributions.Normal(0.0, 1.0).sample((512, 2)).double()
    )
    assert abs(missed - 0.9) < 1e-6 + error, "no rule sees what nobody draws"


@pytest.mark.parametrize(
    "law",
    [
        distributions.MultivariateNormal(torch.ones(2).double(), torch.eye(2).double() + 0.5),
        distributions.Independent(distributions.Gamma(torch.tensor([2.0, 3.0]).double(), torch.ones(2).double()), 1),
        distributions.Dirichlet(torch.tensor([2.0, 3.0, 1.5]).double()),
        distributions.Independent(distributions.Bernoulli(torch.full((5,), 0.3).double()), 1),
    ],
)
def test_references_are_laws_near_the_draws(law):
    torch.manual_seed(0)
    references = references_near(as_model(law), law.sample((1000,)), torch.Generator().manual_seed(1))
    assert len(references) == 5
    for reference in references:
        y = reference.draw(20_000, torch.Generator().manual_seed(2))
        weights = torch.sigmoid(law.log_prob(y) - reference.log_prob(y))
        x = law.sample((20_000,))
        other = torch.sigmoid(reference.log_prob(x) - law.log_prob(x))
        deviation = ((weights.var() + other.var()) / 20_000).sqrt()
        assert abs(weights.mean() - other.mean()) < 5 * deviation


def test_evidence_by_enumeration_is_the_sum_over_the_latent():
    pair = BitPair().double()
    events = listed_events(pair)
    found, error = exact_evidence(pair, events, None)
    expected = sum(
        torch.exp(
            distributions.Bernoulli(logits=pair.prior).log_prob(z)
            + distributions.Bernoulli(logits=pair.logits(z)).log_prob(events).sum(-1)
        )
        for z in (pair.prior.new_zeros(()), pair.prior.new_ones(()))
    )
    assert error == 0
    torch.testing.assert_close(found, expected.detach())


def test_evidence_by_quadrature_does_not_depend_on_the_guide():
    pair = NormalPair().double()
    events = listed_events(pair)
    found, error = exact_evidence(pair, events, None)
    with torch.no_grad():
        pair.guide_log_scale.fill_(0.5)
        pair.guide_weight.mul_(-1)
    again, _ = exact_evidence(pair, events, None)
    assert error < 1e-6
    torch.testing.assert_close(found, again, atol=1e-6, rtol=0)
    assert abs(float(found.sum()) - 1) < 1e-6


def test_evidence_of_too_many_events_is_not_computed():
    pair = NormalPair().double()
    with pytest.raises(NotApplicable, match="too much to integrate"):
        exact_evidence(pair, listed_events(pair).repeat(2000, 1), None)

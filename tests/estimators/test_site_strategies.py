"""A strategy for each site: enumeration, scores, paths and their mixtures, exactly where all noise is discrete."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import constraints

from helpers.enumerable_pairs import (
    BeliefChain,
    BeliefNet,
    Gaussian,
    Mixed,
    exact_means,
    flat_gradient,
    gradient,
    relative_error,
)
from helpers.small_models import BitChain, agrees, phase_moments
from probgen import (
    ELBO,
    REBAR,
    REINFORCE,
    RELAX,
    Batch,
    CapabilityError,
    ConfigurationError,
    GumbelSoftmax,
    PyroPair,
    ReweightedWakeSleep,
    SiteStrategies,
    StraightThrough,
    WakeSleep,
    fit,
)
from probgen.claims import Biased, LowerBound, Unbiased
from probgen.estimators.baselines import Learned, LeaveOneOut, MovingAverage
from probgen.estimators.site_runs import SiteRun
from probgen.estimators.strategies import Enumerate, Reinforce, Relax, Reparam, Strategy
from probgen.pyro_bridge import Drawn

MODES = ["fold", "plate", "loop"]


def phase_of(pair, *args, batch=None, **options):
    estimator = SiteStrategies(*args, **options)
    if batch is not None:
        estimator.initialize(pair, batch)
    (phase,) = estimator.phases(pair)
    return phase


def examples(programs, count=1):
    bits = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    return Batch(bits[:count, : programs.event_shape[0]] if programs.event_shape else bits[:count, 0] - 0.4)


class TestEnumerate:
    @pytest.mark.parametrize("particles", MODES)
    @pytest.mark.parametrize("make", [BeliefNet, BeliefChain, lambda: BeliefChain(bottom_up=True), BitChain])
    def test_the_bound_and_its_gradient_are_exact(self, make, particles):
        programs = make()
        pair, batch = programs.pair(particles=particles), examples(programs, 2)
        estimate = phase_of(pair)(pair, batch, {})
        elbo = programs.elbo(batch.x)
        torch.testing.assert_close(estimate.value, elbo.detach())
        assert agrees(flat_gradient(estimate.surrogate, programs), gradient(elbo, pair), pair=pair)

    def test_there_is_no_noise_in_it(self):
        programs = BitChain()
        pair, batch = programs.pair(), examples(programs)
        moments = phase_moments(phase_of(pair, num_particles=2, batch=batch), pair, batch)
        assert moments.paths == 1

    @pytest.mark.parametrize("particles", MODES)
    @pytest.mark.parametrize("one", ["z1", "z2"])
    def test_with_scores_at_the_other_site(self, one, particles):
        """Whichever of the two is drawn first."""
        programs = BitChain()
        pair, batch = programs.pair(particles=particles), examples(programs)
        phase = phase_of(pair, {one: Enumerate()}, otherwise=Reinforce(), batch=batch)
        moments = phase_moments(phase, pair, batch)
        assert moments.paths > 1
        elbo = programs.elbo(batch.x)
        torch.testing.assert_close(moments["value"].mean, elbo.detach())
        assert agrees(moments["gradient"].mean, gradient(elbo, pair), pair=pair)

    def test_it_has_less_variance_than_scores(self):
        programs = BitChain()
        pair, batch = programs.pair(), examples(programs)
        variances = [
            phase_moments(phase_of(pair, strategies, otherwise=Reinforce(), batch=batch), pair, batch)[
                "gradient"
            ].variance.sum()
            for strategies in ({"z2": Enumerate()}, {})
        ]
        assert variances[0] < 0.5 * variances[1]

    def test_constant_probabilities_are_seen(self, monkeypatch):
        """The twin weighs assignments by what they are, and forgets that the guide may change that."""
        summed = SiteRun.summed
        monkeypatch.setattr(SiteRun, "summed", lambda run, rows, constant=True: summed(run, rows, constant=True))
        programs = BitChain()
        pair, batch = programs.pair(), examples(programs)
        estimate = phase_of(pair)(pair, batch, {})
        found, target = flat_gradient(estimate.surrogate, programs), gradient(programs.elbo(batch.x), pair)
        assert not agrees(found, target, pair=pair, tolerance=0.1)

    @pytest.mark.parametrize("bit_first", [True, False])
    def test_beside_a_gaussian(self, bit_first):
        """The bit is summed over, before the Gaussian or after it."""
        programs = Mixed(bit_first=bit_first)
        pair, batch = programs.pair(), examples(programs)
        phase = phase_of(pair, analytic_kl=False, batch=batch)
        value, found = exact_means(pair, lambda: phase(pair, batch, {}), nodes=programs.nodes)
        elbo = programs.elbo(batch.x)
        torch.testing.assert_close(value, elbo.detach())
        assert relative_error(found, gradient(elbo, pair)) < 1e-9

    def test_a_site_that_asks_for_it(self):
        def program(x, observed, logits):
            with pyro.plate("data", len(x)):
                k = pyro.sample("k", dist.Categorical(logits=logits), infer=None if observed else {"enumerate": "parallel"})
                if observed:
                    pyro.sample("x", dist.Normal(k.to(x.dtype), 1.0), obs=x)

        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.logits = nn.Parameter(torch.tensor([0.1, 0.5, -0.3], dtype=torch.float64))

            def forward(self, x):
                program(x, False, self.logits)

        zeros = torch.zeros(3, dtype=torch.float64)
        pair = PyroPair(lambda x: program(x, True, zeros), Guide(), event_shape=())
        x = torch.tensor([0.3, 1.7], dtype=torch.float64)
        guide = dist.Categorical(logits=pair.guide_program.logits)
        terms = dist.Normal(torch.arange(3.0, dtype=torch.float64)[:, None], 1.0).log_prob(x) - math.log(3)
        exact = (guide.probs[:, None] * (terms - guide.logits[:, None])).sum(0)
        estimate = phase_of(pair)(pair, Batch(x), {})
        torch.testing.assert_close(estimate.value, exact.detach())
        with pytest.raises(CapabilityError, match=r"got 'k' with infer=\{'enumerate': …\}"):
            phase_of(pair, otherwise=Reinforce())(pair, Batch(x), {})

    def test_too_many_assignments(self):
        programs = BitChain()
        pair = programs.pair()
        with pytest.raises(ConfigurationError, match=r"at most 3 joint assignments to enumerate; got 4 \('z1' 2, 'z2' 2\)"):
            phase_of(pair, max_assignments=3)(pair, examples(programs), {})

    def test_more_assignments_than_can_be_counted(self):
        programs = BeliefNet(latents=70)
        with pytest.raises(ConfigurationError, match=rf"at most 4096 joint assignments to enumerate; got {2**70} \('z' "):
            phase_of(programs.pair())(programs.pair(), examples(programs), {})

    def test_a_pair_whose_examples_are_coupled(self):
        def model(x):
            mean = pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                k = pyro.sample("k", dist.Bernoulli(x.new_full((), 0.5)))
                pyro.sample("x", dist.Normal(mean + k, 1.0), obs=x)

        def guide(x):
            pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("k", dist.Bernoulli(x.new_full((), 0.3)))

        pair = PyroPair(model, guide, event_shape=())
        with pytest.raises(CapabilityError, match="expected every site inside the plate of the batch"):
            phase_of(pair)(pair, Batch(torch.zeros(5)), {})


class TestCommonCases:
    """The named estimators are strategies that all sites share."""

    @pytest.mark.parametrize("particles", MODES)
    def test_elbo(self, particles):
        programs = Gaussian()
        pair, batch = programs.pair(particles=particles), examples(programs, 2)
        estimates = []
        for estimator in (ELBO(num_particles=3), SiteStrategies(num_particles=3)):
            estimator.initialize(pair, batch)
            torch.manual_seed(0)
            (phase,) = estimator.phases(pair)
            estimates.append(phase(pair, batch, {}))
        one, other = estimates
        torch.testing.assert_close(one.value, other.value)
        torch.testing.assert_close(flat_gradient(one.surrogate, programs), flat_gradient(other.surrogate, programs))

    @pytest.mark.parametrize("make", [BeliefNet, BeliefChain, lambda: Mixed(bit_first=False)])
    @pytest.mark.parametrize("baseline", [LeaveOneOut, MovingAverage, lambda: MovingAverage(after=Learned(hidden=(4,)))])
    def test_reinforce(self, make, baseline):
        programs = make()
        pair, batch = programs.pair(), examples(programs, 2)
        outcomes = []
        for estimator in (
            REINFORCE(num_particles=2, baseline=baseline()),
            SiteStrategies(otherwise=Reinforce(baseline()), num_particles=2, analytic_kl=False),
        ):
            torch.manual_seed(0)
            estimator.initialize(pair, batch)
            torch.manual_seed(1)
            state = estimator.initial_state(pair, batch)
            torch.manual_seed(2)
            (phase,) = estimator.phases(pair)
            estimate = phase(pair, batch, state)
            learned = [name for name in phase.parameters if name.startswith("baseline.")]
            gradients = torch.autograd.grad(
                estimate.surrogate, list(phase.parameters.values()), materialize_grads=True, allow_unused=True
            )
            outcomes.append(
                (estimate.value, torch.cat([g.flatten() for g in gradients]), list(estimate.state.values()), len(learned))
            )
        for one, other in zip(*(outcome[:2] for outcome in outcomes), strict=True):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(outcomes[0][2], outcomes[1][2])
        assert outcomes[0][3] == outcomes[1][3]


class TestMixtures:
    @pytest.mark.parametrize(("first", "second"), [(LeaveOneOut, MovingAverage), (MovingAverage, LeaveOneOut)])
    def test_each_site_has_its_own_baseline(self, first, second):
        programs = BitChain()
        pair, batch = programs.pair(), examples(programs)
        estimator = SiteStrategies({"z1": Reinforce(first()), "z2": Reinforce(second())}, num_particles=2)
        estimator.initialize(pair, batch)
        state = estimator.initial_state(pair, batch)
        assert len(state) == 1
        (phase,) = estimator.phases(pair)
        moments = phase_moments(phase, pair, batch, state)
        assert agrees(moments["gradient"].mean, gradient(programs.elbo(batch.x), pair), pair=pair)
        assert set(phase(pair, batch, state).state) == set(state)

    def test_leave_one_out_beside_enumeration(self):
        """Baselines see the sum over assignments, and compare draws with draws."""
        programs = BitChain()
        pair, batch = programs.pair(), examples(programs)
        phase = phase_of(pair, {"z1": Reinforce(LeaveOneOut()), "z2": Enumerate()}, num_particles=2, batch=batch)
        moments = phase_moments(phase, pair, batch)
        assert agrees(moments["gradient"].mean, gradient(programs.elbo(batch.x), pair), pair=pair)

    def test_scores_at_a_site_that_has_rsample(self):
        programs = Gaussian()
        programs.nodes = 24
        pair, batch = programs.pair(), examples(programs)
        phase = phase_of(pair, {"z": Reinforce()}, analytic_kl=False, batch=batch)
        _, found = exact_means(pair, lambda: phase(pair, batch, {}), nodes=programs.nodes)
        assert relative_error(found, gradient(programs.elbo(batch.x), pair)) < 1e-9

    def test_a_log_variance_taken_for_a_scale_is_seen(self):
        """The twin draws with one scale and scores with another."""

        class Wrong(Strategy):
            def draw(self, statement, state):
                normal = statement.distribution
                noise = torch.randn(statement.full_shape, dtype=normal.loc.dtype)
                return Drawn(normal.loc + normal.scale.square() * noise, reparameterized=True)

        programs = Gaussian()
        pair, batch = programs.pair(), examples(programs)
        for strategy, right in ((Reparam(), True), (Wrong(), False)):
            phase = phase_of(pair, {"z": strategy}, analytic_kl=False, batch=batch)
            _, found = exact_means(pair, lambda phase=phase: phase(pair, batch, {}), nodes=programs.nodes)
            error = relative_error(found, gradient(programs.elbo(batch.x), pair))
            assert error < 1e-9 if right else error > 0.05


class TestStatements:
    def test_claims_follow_the_strategies(self):
        assert SiteStrategies().claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert SiteStrategies().claims.for_parameter("encoder.weight") == Unbiased("grad:elbo")
        claims = SiteStrategies({"b": Relax()}).claims
        assert claims.value == (Biased("elbo", "elbo-with[b relaxed-elbo 1]"),)
        assert SiteStrategies({"b": Relax()}).objective.name == "elbo-with"
        hard = SiteStrategies({"b": Relax(hard=True)})
        assert hard.claims.value == SiteStrategies().claims.value
        assert hard.claims.for_parameter("w") == Biased("grad:elbo", "grad:elbo-with[b hard-relaxed-elbo 1]")

    def test_a_strategy_for_a_site_that_is_not_there(self):
        programs = BitChain()
        pair = programs.pair()
        with pytest.raises(ConfigurationError, match=r"PyroPair\.guide draws, 'z1', 'z2'; got one for 'z3'"):
            phase_of(pair, {"z3": Reinforce()})(pair, examples(programs), {})

    def test_a_path_through_a_bit(self):
        programs = BitChain()
        pair = programs.pair()
        with pytest.raises(
            CapabilityError, match="Reparam: expected a distribution whose draws carry its gradient at 'z1'; got a Bernoulli"
        ):
            phase_of(pair, otherwise=Reparam())(pair, examples(programs), {})

    def test_options_are_checked(self):
        with pytest.raises(ConfigurationError, match="num_particles of at least 2 for LeaveOneOut; got 1"):
            SiteStrategies(otherwise=Reinforce(LeaveOneOut()))
        with pytest.raises(ConfigurationError, match="num_particles and max_assignments of at least 1; got 0 and 4096"):
            SiteStrategies(num_particles=0)

    def test_options_of_a_shell(self):
        assert isinstance(SiteStrategies.build().otherwise, Enumerate)
        scored = SiteStrategies.build(discrete="reinforce", num_particles=3)
        assert isinstance(scored.otherwise.baseline, LeaveOneOut)

    def test_another_model_needs_another_look(self):
        one, other = BeliefNet(latents=2), BeliefNet(latents=3)
        phase = phase_of(one.pair(), batch=examples(one))
        with pytest.raises(ConfigurationError, match="expected 4 assignments of 'z' as in an earlier run; got 8"):
            phase(other.pair(), examples(other), {})

    def test_it_runs_without_gradients(self):
        programs = BitChain()
        pair = programs.pair()
        with torch.no_grad():
            assert phase_of(pair)(pair, examples(programs, 2), {}).value.shape == (2,)


class TestTraining:
    @pytest.mark.parametrize(
        "estimator",
        [
            WakeSleep(),
            ReweightedWakeSleep(sleep_guide=True),
            SiteStrategies(),
            SiteStrategies({"z1": Reinforce(MovingAverage(after=Learned(hidden=(4,))))}),
            GumbelSoftmax(final_temperature=0.5, anneal_steps=50),
            StraightThrough(),
            REBAR(),
            RELAX(hidden=(4,)),
        ],
        ids=lambda estimator: type(estimator).__name__,
    )
    def test_every_estimator_of_discrete_latents_fits_a_model(self, estimator):
        programs = BitChain().float()
        pair = programs.pair(support=constraints.boolean)
        x = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
        before = programs.evidence(x).mean()
        fit(pair, x, estimator, steps=40, batch_size=20, learning_rate=0.1)
        assert programs.evidence(x).mean() > before + 0.2

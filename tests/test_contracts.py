"""The small contracts: errors, supports, batches, claims, estimators, capabilities, traces."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import constraints

import probgen.errors
from probgen import (
    Batch,
    CapabilityError,
    ConfigurationError,
    Density,
    Estimate,
    Estimator,
    Objective,
    Phase,
    ProbgenError,
    Reparameterized,
    Sampler,
    ShapeError,
    SupportError,
    UnknownNameError,
    UnnormalizedDensity,
)
from probgen.capabilities import capabilities, capability_names, require
from probgen.claims import Biased, Claims, Consistent, Exact, Heuristic, LowerBound, Unbiased, UpperBound
from probgen.errors import InterruptedRunError, NonFiniteError, suggest
from probgen.estimator import parameters_of
from probgen.latent import LatentTrace, Site
from probgen.supports import SUPPORT_NAMES, categorical, inside, levels, named_support, support_name

LEAVES = [
    error
    for _, error in inspect.getmembers(probgen.errors, inspect.isclass)
    if issubclass(error, ProbgenError) and error is not ProbgenError
]


class TestErrors:
    @pytest.mark.parametrize("leaf", LEAVES)
    def test_each_leaf_is_also_a_builtin(self, leaf: type[ProbgenError]) -> None:
        builtins = {base for base in leaf.__mro__ if base.__module__ == "builtins"} - {object, BaseException, Exception}
        assert builtins

    def test_an_unknown_name_prints_its_message_as_it_is(self) -> None:
        assert str(UnknownNameError("Unknown model 'x'.")) == "Unknown model 'x'."

    def test_an_interrupted_run_exits_as_a_shell_expects(self) -> None:
        assert InterruptedRunError("stopped", signal_number=15).exit_code == 143

    def test_bad_input_exits_with_2_and_a_failed_run_with_1(self) -> None:
        assert (ShapeError.exit_code, NonFiniteError.exit_code) == (2, 1)

    @pytest.mark.parametrize(
        ("name", "known", "sentence"),
        [
            ("latent/vea", ["latent/vae", "b"], "Did you mean 'latent/vae'?"),
            ("zebra", ["b", "a"], "Available: a, b."),
            ("zebra", [], "None is registered."),
        ],
    )
    def test_suggestions(self, name: str, known: list[str], sentence: str) -> None:
        assert suggest(name, known) == sentence


class TestSupports:
    @pytest.mark.parametrize("name", SUPPORT_NAMES)
    def test_names_round_trip_through_independent(self, name: str) -> None:
        support = named_support(name, levels=3)
        assert support_name(support) == name
        assert support_name(constraints.independent(support, 2)) == name

    def test_levels(self) -> None:
        assert levels(categorical(7)) == 7
        assert levels(constraints.independent(constraints.boolean, 1)) == 2
        with pytest.raises(SupportError, match="no finite levels"):
            levels(constraints.real)

    def test_names_that_do_not_exist(self) -> None:
        with pytest.raises(SupportError, match="Did you mean 'binary'"):
            named_support("binry")
        with pytest.raises(SupportError, match="expected levels for 'categorical'"):
            named_support("categorical")
        with pytest.raises(SupportError, match="at least 2 levels"):
            categorical(1)
        with pytest.raises(SupportError, match="Simplex"):
            support_name(constraints.simplex)

    @pytest.mark.parametrize("wrapped", [0, 1, 2])
    def test_inside_is_one_answer_per_event(self, wrapped: int) -> None:
        support = constraints.independent(constraints.unit_interval, wrapped) if wrapped else constraints.unit_interval
        x = torch.full((4, 2, 3), 0.5)
        x[1, 0, 0], x[2, 1, 2] = 1.5, torch.nan
        assert inside(support, x, 2).tolist() == [True, False, False, True]


class TestBatch:
    def test_rows_are_taken_from_all_but_the_named(self) -> None:
        batch = Batch(torch.arange(6.0).reshape(3, 2), context=torch.arange(3), named={"other": torch.zeros(7)})
        part = batch[torch.tensor([2, 0])]
        assert part.x.tolist() == [[4.0, 5.0], [0.0, 1.0]]
        assert part.context is not None
        assert part.context.tolist() == [2, 0]
        assert part.named["other"].shape == (7,)
        assert part.mask is None

    def test_only_floating_point_tensors_change_their_type(self) -> None:
        batch = Batch(torch.zeros(2), index=torch.arange(2), named={"other": torch.zeros(3)}).to(dtype=torch.float64)
        assert batch.index is not None
        assert (batch.x.dtype, batch.index.dtype) == (torch.float64, torch.int64)
        assert batch.named["other"].dtype == torch.float64

    def test_a_batch_that_is_there_already_is_itself(self) -> None:
        batch = Batch(torch.zeros(2), index=torch.arange(2), named={"other": torch.zeros(3)})
        assert batch.to("cpu") is batch
        assert batch.to(dtype=torch.float32) is batch
        only_named = Batch(torch.zeros(2), named={"other": torch.zeros(3, dtype=torch.float64)})
        assert only_named.to(dtype=torch.float32).named["other"].dtype == torch.float32

    def test_it_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Batch(torch.zeros(2)).x = torch.ones(2)  # type: ignore[misc]

    @pytest.mark.parametrize("name", ["context", "mask", "index"])
    def test_first_axes_agree(self, name: str) -> None:
        with pytest.raises(ShapeError, match=f"expected {name} with first axis 3"):
            Batch(torch.zeros(3, 2), **{name: torch.zeros(2)})

    def test_a_scalar_is_no_batch(self) -> None:
        with pytest.raises(ShapeError, match=r"x\.unsqueeze\(0\)"):
            Batch(torch.tensor(1.0))


class TestClaims:
    @pytest.mark.parametrize(
        ("claim", "words"),
        [
            (Exact("log_prob"), "exactly log_prob"),
            (Unbiased("elbo"), "unbiased for elbo"),
            (LowerBound("log_prob"), "lower bound on log_prob"),
            (UpperBound("mmd"), "upper bound on mmd"),
            (Biased("grad:log_prob", "cd-1"), "biased for grad:log_prob; unbiased for cd-1"),
            (Consistent("log_prob", "num_particles"), "consistent for log_prob in num_particles"),
            (Heuristic("no theory"), "heuristic: no theory"),
        ],
    )
    def test_they_read_as_sentences(self, claim: Any, words: str) -> None:
        assert str(claim).startswith(words)

    def test_the_first_pattern_that_matches_holds(self) -> None:
        claims = Claims(value=Exact("f"), gradient={"encoder.*": Biased("g", "h"), "*": Unbiased("g")})
        assert claims.value == (Exact("f"),)
        assert claims.for_parameter("encoder.weight") == Biased("g", "h")
        assert claims.for_parameter("decoder.weight") == Unbiased("g")

    def test_silence_about_a_parameter_is_an_error(self) -> None:
        claims = Claims(value=Exact("f"), gradient={"encoder.*": Unbiased("g")})
        with pytest.raises(ConfigurationError, match=r"covers 'decoder\.weight'; got encoder\.\*"):
            claims.for_parameter("decoder.weight")


class Coin(nn.Module, Density, Sampler):
    """A density and sampler with one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size(), None, constraints.boolean
        self.logit = nn.Parameter(torch.zeros(()))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.distributions.Bernoulli(logits=self.logit).log_prob(x)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logit.sigmoid().expand(n))


class Wrapped(nn.Module, Density, Reparameterized):
    """A wrapper has the powers of its part, though its class has more."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.part = part
        self.event_shape, self.context_shape, self.support = part.event_shape, part.context_shape, part.support

    def _capabilities(self) -> frozenset[type]:
        return super()._capabilities() & capabilities(self.part)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.part.log_prob(x, context)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self.part.rsample((n,), context)


class TestCapabilities:
    def test_a_class_gives_its_contracts_to_its_instances(self) -> None:
        assert capabilities(Coin()) == {Density, Sampler}

    def test_an_instance_answers_for_itself(self) -> None:
        assert isinstance(Wrapped(Coin()), Reparameterized)
        assert capabilities(Wrapped(Coin())) == {Density, Sampler}

    def test_something_else_has_none(self) -> None:
        assert capabilities(object()) == frozenset()

    def test_what_is_missing_is_named_with_what_is_there(self) -> None:
        with pytest.raises(
            CapabilityError, match=r"ScoreMatching: .*UnnormalizedDensity; got Coin, which is Density, Sampler"
        ):
            require(Coin(), Density, UnnormalizedDensity, for_what="ScoreMatching")
        with pytest.raises(TypeError, match="no model at all"):
            require(torch.nn.Linear(1, 1), Density, for_what="MaximumLikelihood")

    def test_the_joint_draw_needs_a_density(self) -> None:
        class Noise(Reparameterized):
            event_shape, context_shape, support = torch.Size(), None, constraints.real

            def _rsample(self, n: int, context: Tensor | None) -> Tensor:
                return torch.randn(n)

        assert capability_names(Noise()) == ["Reparameterized", "Sampler"]
        with pytest.raises(CapabilityError, match=r"Noise\.rsample_and_log_prob"):
            Noise().rsample_and_log_prob((2,))

    def test_a_contract_cannot_be_made_by_itself(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            Density()  # type: ignore[abstract]


def nothing(model: Any, batch: Batch, state: Any) -> Estimate:
    return Estimate(surrogate=torch.zeros(()), value=torch.zeros(len(batch)), state=state)


class Likelihood(Estimator):
    """The smallest estimator there is."""

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def phases(self, model: Any) -> list[Phase]:
        return [Phase("fit", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: Any, batch: Batch, state: Any) -> Estimate:
        scores = model.log_prob(batch.x, batch.context)
        return Estimate(surrogate=-scores.mean(), value=scores.detach(), state=state)


class TestEstimator:
    def test_a_phase_estimates_or_updates(self) -> None:
        batch = Batch(torch.zeros(3))
        assert Phase("a", {}, estimate=nothing)(None, batch, {}).value.shape == (3,)
        assert Phase("a", {}, update=nothing)(None, batch, {}).value.shape == (3,)
        for both in ({}, {"estimate": nothing, "update": nothing}):
            with pytest.raises(ConfigurationError, match="exactly one of estimate and update"):
                Phase("a", {}, **both)

    def test_a_phase_runs_at_least_once(self) -> None:
        with pytest.raises(ConfigurationError, match="repeats of at least 1; got 0"):
            Phase("a", {}, estimate=nothing, repeats=0)

    def test_the_surrogates_gradient_is_minus_the_objectives(self) -> None:
        coin, batch = Coin(), Batch(torch.tensor([1.0, 1.0, 1.0, 0.0]))
        (phase,) = Likelihood().phases(coin)
        estimate = phase(coin, batch, Likelihood().initial_state(coin, batch))
        (gradient,) = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
        assert gradient.item() == pytest.approx(-(0.75 - 0.5))
        assert not estimate.value.requires_grad
        assert estimate.value.mean().item() == pytest.approx(-torch.log(torch.tensor(2.0)).item())

    def test_a_model_that_does_not_fit_is_refused_beforehand(self) -> None:
        Likelihood().check(Coin())
        with pytest.raises(CapabilityError, match="Likelihood: expected a model that is Density"):
            Likelihood().check(nn.Linear(1, 1))

    def test_it_remembers_and_learns_nothing_unless_it_says_so(self) -> None:
        assert dict(Likelihood().initial_state(Coin(), Batch(torch.zeros(1)))) == {}
        assert Likelihood().learned is None

    def test_frozen_parameters_are_not_trained(self) -> None:
        layer = nn.Linear(2, 1)
        layer.weight.requires_grad_(False)
        assert list(parameters_of(layer, object())) == ["bias"]


def site(name: str, shape: tuple[int, ...], *, observed: bool = False, scale: float = 1.0) -> Site:
    return Site(
        name=name,
        value=torch.zeros(shape),
        model_distribution=None,
        guide_distribution=None,
        reparameterized=True,
        shared=len(shape) == 1,
        plates=("data",) if len(shape) == 2 else (),
        scale=scale,
        order=(0, 0),
        score_model=lambda: torch.full(shape, 1.0),
        score_guide=None if observed else lambda: torch.full(shape, 0.25),
        divergence=lambda: None,
    )


def trace(*sites: Site, per_example: bool) -> LatentTrace:
    return LatentTrace({s.name: s for s in sites}, num_particles=2, batch_size=3, per_example=per_example)


class TestLatentTrace:
    def test_weights_are_per_example_where_nothing_is_shared(self) -> None:
        run = trace(site("z", (2, 3)), site("x", (2, 3), observed=True), per_example=True)
        assert torch.equal(run.log_weights, torch.full((2, 3), 1.75))
        assert [s.name for s in run.latents] == ["z"]
        assert [s.name for s in run.observations] == ["x"]
        run.require_per_example("IWAE")

    def test_a_shared_latent_leaves_one_weight_per_particle(self) -> None:
        run = trace(site("w", (2,)), site("z", (2, 3)), site("x", (2, 3), observed=True), per_example=False)
        assert torch.equal(run.log_joint, torch.full((2,), 7.0))
        assert torch.equal(run.log_guide, torch.full((2,), 1.0))
        with pytest.raises(CapabilityError, match=r"IWAE: .*got 'w' outside"):
            run.require_per_example("IWAE")

    def test_a_subsampled_plate_is_refused_by_per_example_estimators(self) -> None:
        with pytest.raises(CapabilityError, match="got scale 10 at 'z'"):
            trace(site("z", (2, 3), scale=10.0), per_example=True).require_per_example("IWAE")

    def test_without_a_latent_there_are_no_weights(self) -> None:
        with pytest.raises(CapabilityError, match="expected a latent site"):
            _ = trace(site("x", (2, 3), observed=True), per_example=True).log_weights


def test_messages_say_what_was_expected_what_came_and_one_remedy() -> None:
    with pytest.raises(ProbgenError) as caught:
        Coin().log_prob(torch.zeros(2), torch.zeros(2))
    assert re.fullmatch(r"Coin\.log_prob: expected .+; got .+\. .+\.", str(caught.value))

"""Exact expectations: every random operation against its closed form, and what must be refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributions as dist
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from probgen import testing
from probgen.errors import ShapeError
from probgen.testing import HiddenRandomness, NotEnumerable, exact_expectation, exact_law, replays_identically

P = torch.tensor([0.2, 0.7], dtype=torch.float64)
GENERATOR = torch.Generator()
HALF = torch.tensor([0.5, 0.5], dtype=torch.float64)


def vmapped(fn, n=2):
    return torch.func.vmap(lambda _: fn(), randomness="different")(torch.zeros(n))


def in_place(method, *args):
    return getattr(torch.zeros(2, dtype=torch.float64), method)(*args)


# Each program, the mean and the variance of its outputs.
DISCRETE = {
    "bernoulli": (lambda: torch.bernoulli(P), P, P * (1 - P)),
    "bernoulli(p)": (lambda: torch.bernoulli(torch.zeros(2), 0.5), HALF, HALF / 2),
    "bernoulli_": (lambda: in_place("bernoulli_", P), P, P * (1 - P)),
    "bernoulli_(number)": (lambda: in_place("bernoulli_", 0.5), HALF, HALF / 2),
    "bernoulli(out)": (lambda: torch.bernoulli(P, out=torch.zeros(2, dtype=torch.float64)), P, P * (1 - P)),
    "bernoulli(generator)": (lambda: torch.bernoulli(P, generator=GENERATOR), P, P * (1 - P)),
    "certain": (lambda: torch.bernoulli(torch.tensor([0.0, 1.0])), torch.tensor([0.0, 1.0]), torch.zeros(2)),
    "Bernoulli": (lambda: dist.Bernoulli(P).sample(), P, P * (1 - P)),
    "Categorical": (lambda: dist.Categorical(P).sample(), torch.tensor([7 / 9]), torch.tensor([14 / 81])),
    "OneHotCategorical": (lambda: dist.OneHotCategorical(P).sample(), P / 0.9, torch.tensor([14 / 81] * 2)),
    "straight through": (
        lambda: dist.OneHotCategoricalStraightThrough(P).rsample(),
        P / 0.9,
        torch.tensor([14 / 81] * 2),
    ),
    "multinomial": (
        lambda: torch.multinomial(P, 2, replacement=True),
        torch.tensor([7 / 9] * 2),
        torch.tensor([14 / 81] * 2),
    ),
    "without replacement": (
        lambda: torch.multinomial(torch.tensor([0.5, 0.5, 0.0]), 2),
        HALF,
        HALF / 2,
    ),
    "rand <": (lambda: torch.rand(2) < P, P, P * (1 - P)),
    "rand >=": (lambda: torch.rand(2) >= P, 1 - P, P * (1 - P)),
    "threshold > rand_like": (lambda: torch.rand_like(P) < P, P, P * (1 - P)),
    "number > rand": (lambda: torch.gt(P[1:] - 0.45, torch.rand(1)), torch.tensor([0.25]), torch.tensor([0.1875])),
    "where": (lambda: torch.where(torch.rand(2) <= P, 1.0, 0.0), P, P * (1 - P)),
    "uniform_": (lambda: in_place("uniform_", -1, 1) > 0.5, HALF / 2, torch.tensor([0.1875] * 2)),
    "rand, rearranged": (
        lambda: torch.stack(list(torch.rand(2, 1).double().clone().T.flip(0)[0])).view(2) < P,
        P,
        P * (1 - P),
    ),
    "dropout": (lambda: F.dropout(torch.ones(2), 0.5), torch.ones(2), torch.ones(2)),
    "native_dropout": (lambda: torch.native_dropout(torch.ones(2), 0.75, True)[0], torch.ones(2), 3 * torch.ones(2)),
    "Dropout, vmapped": (lambda: vmapped(lambda: torch.nn.Dropout(0.5)(torch.ones(()))), torch.ones(2), torch.ones(2)),
    "randint": (lambda: torch.randint(4, (1,)), torch.tensor([1.5]), torch.tensor([1.25])),
    "randint(low)": (lambda: torch.randint(1, 5, (1,)), torch.tensor([2.5]), torch.tensor([1.25])),
    "random_": (lambda: torch.zeros(1).random_(0, 4), torch.tensor([1.5]), torch.tensor([1.25])),
    "randperm": (lambda: torch.randperm(4), torch.tensor([1.5] * 4), torch.tensor([1.25] * 4)),
    "bernoulli, vmapped": (lambda: vmapped(lambda: torch.bernoulli(P)), P.repeat(2), (P * (1 - P)).repeat(2)),
    "rand, vmapped": (lambda: vmapped(lambda: torch.rand(2) < P), P.repeat(2), (P * (1 - P)).repeat(2)),
    "Categorical, vmapped": (
        lambda: vmapped(lambda: dist.Categorical(P, validate_args=False).sample()),
        torch.tensor([7 / 9] * 2),
        torch.tensor([14 / 81] * 2),
    ),
}
NORMAL = {
    "randn": lambda: torch.randn(1, dtype=torch.float64),
    "randn_like": lambda: torch.randn_like(P[:1]),
    "randn(generator)": lambda: torch.randn(1, dtype=torch.float64, generator=GENERATOR),
    "normal_": lambda: (torch.empty(1, dtype=torch.float64).normal_(3, 2) - 3) / 2,
    "normal(tensors)": lambda: (torch.normal(3 * torch.ones(1).double(), 2 * torch.ones(1).double()) - 3) / 2,
    "normal(number, tensor)": lambda: (torch.normal(3.0, 2 * torch.ones(1).double()) - 3) / 2,
    "normal(size)": lambda: (torch.normal(3.0, 2.0, (1,), dtype=torch.float64) - 3) / 2,
    "Normal.rsample": lambda: (dist.Normal(P[:1], 2.0).rsample() - P[:1]) / 2,
    "Normal.sample": lambda: (dist.Normal(P[:1], 2.0).sample() - P[:1]) / 2,
    "MultivariateNormal": lambda: dist.MultivariateNormal(P[:1], torch.eye(1).double()).rsample() - P[:1],
    "vmapped": lambda: torch.func.vmap(lambda x: torch.randn_like(x), randomness="different")(P[:1]),
}
REFUSED = {
    "exponential_": lambda: torch.empty(1).exponential_(),
    "_standard_gamma": lambda: dist.Gamma(P, 1.0).rsample(),
    "_sample_dirichlet": lambda: dist.Dirichlet(P).rsample(),
    "poisson": lambda: torch.poisson(P),
    "binomial": lambda: dist.Binomial(3, P).sample(),
    "geometric_": lambda: torch.empty(1).geometric_(0.5),
    "cauchy_": lambda: torch.empty(1).cauchy_(),
    "log_normal_": lambda: torch.empty(1).log_normal_(),
    "exponential_ ": lambda: F.gumbel_softmax(P),
    "aten.sort": lambda: torch.rand(3).argsort(),
    "aten.lt": lambda: torch.rand(1) < torch.rand(1),
    "aten.floor": lambda: torch.rand(1).floor(),
    "aten._to_copy": lambda: (10 * torch.rand(1)).long(),
    "parameters that are uniform noise": lambda: torch.bernoulli(torch.rand(2)),
    "every number of its type": lambda: torch.zeros(1).random_(),
    "rrelu": lambda: F.rrelu(torch.ones(1), training=True),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_a_discrete_draw_has_its_mean_and_variance(name: str) -> None:
    program, mean, variance = DISCRETE[name]
    moments = exact_expectation(program)
    torch.testing.assert_close(moments.mean, mean.double(), rtol=0, atol=1e-7)
    torch.testing.assert_close(moments.variance, variance.double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", NORMAL)
def test_a_normal_draw_has_its_moments(name: str) -> None:
    moments = exact_expectation(NORMAL[name])
    found = torch.stack([moments.mean, moments.variance, moments.skewness, moments.kurtosis]).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 0.0, 3.0]).double(), rtol=0, atol=1e-12)
    assert moments.paths == 16
    assert moments.p_min == 1.0
    assert moments.error < 1e-12


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_enumerated_is_refused_by_name(name: str) -> None:
    with pytest.raises(NotEnumerable) as caught:
        exact_expectation(REFUSED[name])
    assert name.strip() in caught.value.reason


class TestUniformNoise:
    def test_two_comparisons_of_one_draw_are_dependent(self) -> None:
        def antithetic() -> torch.Tensor:
            noise = torch.rand(1)
            return torch.cat([noise < 0.25, noise > 0.75, (noise < 0.25) & (noise > 0.75), (noise < 0.25) & (noise < 0.5)])

        moments = exact_expectation(antithetic)
        assert moments.mean.tolist() == [0.25, 0.25, 0.0, 0.25]
        assert moments.paths == 4

    def test_views_share_their_noise(self) -> None:
        def halves() -> torch.Tensor:
            noise = torch.rand(2)
            return torch.stack([(noise[0] < 0.5) == (noise.view(2, 1)[0, 0] < 0.5), noise[1] < 0.25])

        assert exact_expectation(halves).mean.tolist() == [1.0, 0.25]

    def test_memory_that_is_drawn_again_is_fresh(self) -> None:
        def twice() -> torch.Tensor:
            noise = torch.rand(1)
            first = noise < 0.5
            noise.uniform_()
            return first & (noise < 0.5)

        assert exact_expectation(twice).mean.item() == 0.25

    def test_memory_that_is_overwritten_is_ordinary(self) -> None:
        assert exact_expectation(lambda: torch.rand(1).bernoulli_(0.25) + 1).mean.item() == 1.25

    def test_code_that_reads_it_behind_torchs_back_is_found(self) -> None:
        def program() -> torch.Tensor:
            return torch.tensor(torch.rand(2).numpy() < 0.5)

        assert replays_identically(program).reason == "returns another result when it is run again on the same draws"
        with pytest.raises(NotEnumerable, match="read by numpy"):
            exact_expectation(program)


class TestWalk:
    def test_impossible_branches_are_not_walked(self) -> None:
        assert exact_expectation(lambda: torch.bernoulli(torch.tensor([0.0, 0.5, 1.0]))).paths == 2

    def test_the_number_of_draws_may_depend_on_them(self) -> None:
        def waiting_time() -> torch.Tensor:
            return torch.tensor(float(next((n for n in range(30) if torch.bernoulli(torch.tensor(0.5)) == 1), 30)))

        moments = exact_expectation(waiting_time)
        assert moments.paths == 31
        assert moments.mean.item() == pytest.approx(1 - 2**-30)
        assert moments.p_min == 2**-30

    def test_too_many_paths_are_refused_before_they_are_walked(self) -> None:
        with pytest.raises(NotEnumerable, match=r"bernoulli.* 10\^19 outcomes"):
            exact_expectation(lambda: torch.bernoulli(torch.full((64,), 0.5)))

    def test_too_many_paths_are_refused_on_the_way(self) -> None:
        with pytest.raises(NotEnumerable, match="max_paths=10"):
            exact_expectation(lambda: torch.stack([torch.bernoulli(torch.tensor(0.5)) for _ in range(4)]), max_paths=10)
        with pytest.raises(NotEnumerable, match=r"about 1.1e\+12"):
            exact_expectation(lambda: torch.stack([torch.bernoulli(torch.tensor(0.5)) for _ in range(40)]))

    def test_exactly_as_many_paths_as_allowed_are_walked(self) -> None:
        assert exact_expectation(lambda: torch.bernoulli(HALF), max_paths=4).paths == 4

    def test_the_global_streams_stay_where_they_are(self) -> None:
        before, mine = torch.get_rng_state(), torch.Generator().manual_seed(1)
        state = mine.get_state()
        exact_expectation(lambda: torch.bernoulli(P, generator=mine) + torch.randn(2).double())
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(state, mine.get_state())

    @given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5))
    def test_independent_bits_have_the_moments_of_their_sum(self, chances: list[float]) -> None:
        p = torch.tensor(chances, dtype=torch.float64)
        moments = exact_expectation(lambda: torch.bernoulli(p).sum())
        variance = (p * (1 - p)).sum()
        third = (p * (1 - p) * (1 - 2 * p)).sum()
        torch.testing.assert_close(moments.mean[0], p.sum())
        torch.testing.assert_close(moments.variance[0], variance)
        torch.testing.assert_close(moments.skewness[0], third / variance**1.5, rtol=1e-8, atol=1e-8)
        assert moments.p_min == pytest.approx(torch.minimum(p, 1 - p).prod().item())


class TestOutputs:
    def test_a_dict_keeps_its_names(self) -> None:
        moments = exact_expectation(lambda: {"a": torch.bernoulli(P), "b": torch.ones(2, 2)})
        assert moments.mean.shape == (6,)
        assert moments["b"].mean.tolist() == [1.0] * 4
        assert moments["a"].variance.tolist() == pytest.approx((P * (1 - P)).tolist())

    def test_a_tuple_is_numbered(self) -> None:
        assert exact_expectation(lambda: (torch.zeros(2), 3.0))["1"].mean.item() == 3.0

    def test_a_constant_has_no_spread(self) -> None:
        moments = exact_expectation(lambda: 0.1 * torch.randn(3) * 0 + 1 / 3)
        assert moments.variance.max() < 1e-30
        assert moments.skewness.tolist() == moments.kurtosis.tolist() == [0.0] * 3

    def test_an_outcome_that_is_not_finite_shows_in_the_mean(self) -> None:
        assert not exact_expectation(lambda: torch.bernoulli(P).log()).mean.isfinite().any()

    def test_shapes_must_not_depend_on_draws(self) -> None:
        with pytest.raises(ShapeError, match="one shape on every path"):
            exact_expectation(lambda: torch.bernoulli(P).nonzero())

    @pytest.mark.parametrize("result", [None, "text", torch.ones(1, dtype=torch.complex64), {"a": None}])
    def test_other_results_are_refused(self, result: object) -> None:
        with pytest.raises(ShapeError, match="expected real tensors"):
            exact_expectation(lambda: result)


class TestQuadrature:
    def test_polynomials_are_exact(self) -> None:
        assert exact_expectation(lambda: torch.randn((), dtype=torch.float64) ** 10).mean.item() == pytest.approx(945)

    def test_smooth_functions_are(self) -> None:
        moments = exact_expectation(lambda: (0.3 * torch.randn((), dtype=torch.float64)).exp())
        assert moments.mean.item() == pytest.approx(math.exp(0.045), rel=1e-9)

    def test_kinks_are_refused(self) -> None:
        with pytest.raises(NotEnumerable, match="not smooth"):
            exact_expectation(lambda: torch.randn(()).relu())

    def test_noise_of_both_kinds_mixes(self) -> None:
        moments = exact_expectation(lambda: torch.randn((), dtype=torch.float64) ** 2 * torch.bernoulli(P))
        torch.testing.assert_close(moments.mean, P)
        assert moments.p_min == pytest.approx(0.06)

    def test_single_precision_is_judged_as_such(self) -> None:
        assert exact_expectation(lambda: (torch.randn(2) * 0.3).sin() + 1).error < 1e-5


class TestHiddenRandomness:
    def test_numpy(self) -> None:
        replay = replays_identically(lambda: torch.tensor(np.random.rand()))
        assert not replay
        assert replay.reason == "draws from numpy's global random stream"

    def test_python_even_where_results_agree(self) -> None:
        assert not replays_identically(lambda: torch.tensor(0.0 * random.random()))

    def test_a_stream_of_its_own(self) -> None:
        stream = np.random.default_rng()
        assert not replays_identically(lambda: torch.tensor(stream.random()))

    def test_state_between_calls(self) -> None:
        calls: list[int] = []
        replay = replays_identically(lambda: (calls.append(1), torch.randn(2) + len(calls))[1])
        assert replay.reason == "returns another result when it is run again on the same draws"

    def test_state_that_changes_the_probabilities(self) -> None:
        calls: list[int] = []

        def drifting() -> torch.Tensor:
            calls.append(1)
            return torch.bernoulli(torch.tensor(1 / (1 + len(calls))))

        with pytest.raises(HiddenRandomness, match="other probabilities"):
            exact_expectation(drifting)

    @pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
    def test_state_that_changes_the_number_of_draws(self, first: int, then: int) -> None:
        calls: list[int] = []

        def drifting() -> torch.Tensor:
            calls.append(1)
            return torch.bernoulli(torch.full((first if len(calls) == 1 else then,), 0.5)).sum()

        with pytest.raises(HiddenRandomness):
            exact_expectation(drifting)

    def test_a_seed_that_is_set_inside(self) -> None:
        assert "sets the seed" in replays_identically(lambda: (torch.manual_seed(0), torch.randn(2))[1]).reason

    @pytest.mark.parametrize("made", [lambda: torch.Generator(), lambda: GENERATOR.manual_seed(1)])
    def test_the_seed_of_a_generator_that_is_set_inside(self, made: Callable[[], torch.Generator]) -> None:
        before = GENERATOR.get_state()
        with pytest.raises(HiddenRandomness, match="sets the seed of a generator"):
            exact_expectation(lambda: torch.bernoulli(P, generator=made()))
        GENERATOR.set_state(before)

    def test_a_generator_that_is_seeded_anew_by_chance(self) -> None:
        def program() -> torch.Tensor:
            generator = torch.Generator()
            generator.seed()
            return torch.bernoulli(P, generator=generator)

        torch.testing.assert_close(exact_expectation(program).mean, P)

    def test_a_stream_that_is_swapped_in_and_out_is_no_seed(self) -> None:
        model_stream = torch.Generator().manual_seed(3)

        def swapped() -> torch.Tensor:
            before = torch.get_rng_state()
            torch.set_rng_state(model_stream.get_state())
            draw = torch.bernoulli(P)
            torch.set_rng_state(before)
            return draw

        torch.testing.assert_close(exact_expectation(swapped).mean, P)

    def test_a_clean_program(self) -> None:
        assert replays_identically(lambda: torch.randn(20).sum() + torch.rand(3).lt(0.5).sum())


def test_every_random_operation_of_torch_is_recognised() -> None:
    """Whatever takes a generator carries the tag by which random operations are known."""
    untagged = []
    for name in torch._C._dispatch_get_all_op_names():
        library, _, operation = name.partition("::")
        packet, _, overload = operation.partition(".")
        found = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None) if library == "aten" else None
        if found is None:
            continue
        if any("Generator" in str(argument.type) for argument in found._schema.arguments):
            untagged += [] if torch.Tag.nondeterministic_seeded in found.tags else [name]
    assert not untagged


def test_operations_that_are_random_only_with_dropout_run_without_it() -> None:
    queries = torch.ones(1, 1, 2, 2)
    attended = exact_expectation(lambda: F.scaled_dot_product_attention(queries, queries, queries))
    assert attended.paths == 1
    assert exact_expectation(lambda: F.rrelu(torch.ones(1), training=False)).paths == 1


def test_a_law_is_the_table_behind_the_moments() -> None:
    law = exact_law(lambda: torch.bernoulli(P))
    assert law.mean == pytest.approx(P.tolist())
    assert law.probabilities.sum() == pytest.approx(1)
    assert law.draw(1000, seed=0).mean(0) == pytest.approx(P.tolist(), abs=5 * 0.5 / math.sqrt(1000))


def test_functionalised_programs_are_seen_through() -> None:
    torch.testing.assert_close(exact_expectation(torch.func.functionalize(lambda: torch.bernoulli(P))).mean, P)


def test_the_unstable_part_of_torch_is_imported_in_one_place() -> None:
    package = Path(testing.__file__).parent
    importers = [path.name for path in package.glob("*.py") if "torch.utils._" in path.read_text(encoding="utf-8")]
    assert importers == ["dispatch.py"]

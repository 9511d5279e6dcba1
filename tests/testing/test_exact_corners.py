"""Programs that a rule, a cut or a script could easily get wrong: they are refused, or their mean is right."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.distributions as dist
import torch.nn.functional as F
from torch import Tensor

from probgen.testing import HiddenRandomness, NotEnumerable, exact_expectation

DOUBLE = {"dtype": torch.float64}
ZERO, ONE, POINT_THREE = (torch.tensor(value, **DOUBLE) for value in (0.0, 1.0, 0.3))
Program = Callable[[], Tensor]


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, **DOUBLE)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, **DOUBLE)


def above(value: float) -> float:
    """The probability that a normal variable is above `value`."""
    return 0.5 * math.erfc(value / math.sqrt(2))


def if_true(question: Tensor | bool) -> Tensor:
    return torch.ones(()) if question else torch.zeros(())


def written(operation: Callable[[Tensor, Tensor], object], noise: Tensor) -> Tensor:
    """Let an operation write to a tensor that holds no noise, and threshold that."""
    buffer = torch.zeros_like(noise)
    operation(buffer, noise)
    return torch.where(buffer > 0.3, 1.0, 0.0)


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    return torch.autograd.grad(function(at).sum(), at)[0]


class Gate(torch.autograd.Function):
    """The identity, with a gradient that jumps."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x > 0.3)


def caught() -> Tensor:
    try:
        return dist.Normal(ZERO, 1 + normal(), validate_args=True).mean + 1
    except ValueError:
        return ZERO


def validated_in_parts() -> Tensor:
    noise, checks = normal(2), torch.zeros(2, dtype=torch.bool)
    checks[0] = noise[0] > 0.3
    return if_true(checks.any())


def until_below() -> Tensor:
    draws = 0
    while draws < 8 and uniform() < 0.5:
        draws += 1
    return torch.tensor(float(draws))


def written_later() -> Tensor:
    noise = uniform(2)
    view = noise.view(2, 1)
    first = noise[0] < 0.3
    view[0] = 0.9
    return first + (noise[1] < 0.25).double()


def not_a_number_beside_a_step() -> Tensor:
    noise = uniform(2)
    return torch.stack([(noise[0] - 0.5).log(), ((noise[1] - 0.47) * 500).sigmoid()])


def steps_of_a_product() -> Tensor:
    noise = normal(2)
    return (500 * (noise[0] * noise[1] - 0.01)).sigmoid()


def questions() -> dict[str, tuple[Program, float | None]]:
    """Python that asks, or reads, where noise lies."""
    return {
        "a branch on a number": (lambda: if_true(normal().item() > 0.3), above(0.3)),
        "a branch on a band": (lambda: if_true(0.3 < normal().item() < 0.4), above(0.3) - above(0.4)),
        "a branch on a truth": (lambda: if_true(normal() > 0.3), above(0.3)),
        "a branch on a band of truths": (lambda: if_true((normal() > 0.3) & (normal() < 0.4)), None),
        "a branch on what was computed": (lambda: if_true(uniform() ** 2 < 0.5), math.sqrt(0.5)),
        "a branch on equality": (lambda: if_true(torch.equal(normal().clamp(min=0.3), POINT_THREE)), 1 - above(0.3)),
        "a branch on a detached tensor": (lambda: if_true((normal(1).detach() > 0.3).all()), above(0.3)),
        "a branch on closeness": (lambda: if_true(torch.allclose(normal(), ZERO, atol=0.3)), 1 - 2 * above(0.3)),
        "truths that were collected": (validated_in_parts, above(0.3)),
        "a number that is written out": (lambda: torch.tensor(float(f"{normal().item():.0f}") ** 2), None),
        "a number that is filled in": (lambda: torch.full((2,), int(3 * normal())).double(), None),
        "a refusal that is caught": (caught, None),
        "a list": (lambda: if_true(0.3 < normal(1).tolist()[0] < 0.4), above(0.3) - above(0.4)),
        "a list of uniform noise": (lambda: if_true(0.3 < uniform(1).tolist()[0] < 0.4), 0.1),
        "an array": (lambda: if_true(bool(normal(1).numpy()[0] > 0.3)), above(0.3)),
        "a copy": (lambda: if_true(copy.deepcopy(normal(1))[0] > 0.3), above(0.3)),
        "a copy of uniform noise": (lambda: if_true(copy.deepcopy(uniform(1))[0] > 0.3), 0.7),
        "a pickle": (lambda: if_true(pickle.loads(pickle.dumps(normal(1)))[0] > 0.3), above(0.3)),
        "a loop": (until_below, 1 - 2**-8),
    }


def jumps() -> dict[str, tuple[Program, float | None]]:
    """Operations that jump, or write what jumps."""
    return {
        "division to the floor": (lambda: torch.div(normal(), 0.7, rounding_mode="floor"), None),
        "truncated division of uniform noise": (lambda: torch.div(uniform(), 0.3, rounding_mode="trunc"), 1.2),
        "whole division": (lambda: uniform() // 0.3, 1.2),
        "a list of sums": (lambda: written(lambda b, x: torch._foreach_add_([b], [x]), normal()), above(0.3)),
        "a list of copies": (lambda: written(lambda b, x: torch._foreach_copy_([b], [x]), uniform()), 0.7),
        "a list of floors": (lambda: torch._foreach_floor([normal()])[0], -0.5),
        "an output argument": (lambda: written(lambda b, x: torch.add(x, 0.0, out=b), normal()), above(0.3)),
        "shared memory": (lambda: written(lambda b, x: b.set_(x), normal()), above(0.3)),
        "resized memory": (lambda: torch.where(normal(1).resize_(1000)[:1] > 0.3, 1.0, 0.0), above(0.3)),
        "indices": (lambda: written(lambda b, x: b.index_put_((torch.tensor([0]),), x[0]), normal(1)), above(0.3)),
        "truths in place": (lambda: normal().gt_(0.3), above(0.3)),
        "truths in an output argument": (lambda: torch.lt(normal(), 0.3, out=torch.zeros((), **DOUBLE)), 1 - above(0.3)),
        "truths as a mask": (lambda: normal(2).masked_fill(normal(2) > 0.3, 0.0).sum() * 0 + 1, None),
        "the sign bit": (lambda: normal().signbit().double(), 0.5),
        "a bin": (lambda: torch.bucketize(normal(), POINT_THREE[None]).double(), above(0.3)),
        "a bin of uniform noise": (lambda: torch.searchsorted(POINT_THREE[None], uniform(1)).double(), 0.7),
        "a histogram": (lambda: normal(2).histc(2, -1, 1)[:1], 2 * (above(0.0) - above(1.0))),
        "an index of noise": (lambda: torch.arange(2.0)[(normal(1) > 0.3).long()], above(0.3)),
        "an index of uniform noise": (lambda: torch.arange(2.0)[(uniform(1) > 0.3).long()], 0.7),
        "an order": (lambda: normal(2).argsort()[0].double(), 0.5),
        "Gumbel-max": (lambda: (torch.tensor([0.2, 0.8]).log() - (-uniform(2).log()).log()).argmax().double(), 0.8),
        "bits": (lambda: (uniform(1).view(torch.int32) > 0).double().sum(), None),
        "dropout": (lambda: F.dropout(normal(1), 0.5).floor(), None),
        "a jump in a gradient": (lambda: gradient(Gate.apply, normal(1)), above(0.3)),
        "the gradient of a rectifier": (lambda: gradient(torch.relu, normal(1)), 0.5),
        "the gradient of a clamp": (lambda: gradient(lambda x: x.clamp(min=0.3), normal(1)), above(0.3)),
        "vmap": (lambda: torch.func.vmap(lambda x: torch.randn_like(x).floor(), randomness="different")(ZERO[None]), -0.5),
        "views that are written later": (written_later, 0.55),
    }


def kinks() -> dict[str, tuple[Program, float | None]]:
    """Continuous functions that are steep, or have kinks."""

    def steep(noise: Tensor, at: float) -> Tensor:
        return ((noise - at) * 500).sigmoid()

    return {
        "steep": (lambda: steep(uniform(), 0.37), 0.63),
        "steep near the middle": (lambda: steep(uniform(), 0.47), 0.53),
        "steep near the mean": (lambda: steep(normal(), 0.05), None),
        "steep in a product": (steps_of_a_product, None),
        "steep beside what is no number": (not_a_number_beside_a_step, None),
        "a rectifier": (lambda: torch.relu(uniform() - 0.47), 0.53**2 / 2),
        "an absolute value": (lambda: normal().abs(), math.sqrt(2 / math.pi)),
        "a half normal variable": (lambda: dist.HalfNormal(ONE).sample(), math.sqrt(2 / math.pi)),
        "the larger": (lambda: normal(2).amax(), 1 / math.sqrt(math.pi)),
        "a list of larger ones": (lambda: torch._foreach_maximum([normal()], 0.0)[0], 1 / math.sqrt(2 * math.pi)),
        "a lower bound": (lambda: torch.clamp(torch.tensor(0.5, **DOUBLE), min=uniform()), 0.625),
        "a threshold that leaves the interval": (lambda: torch.bernoulli(normal().clamp(0, 1)), None),
    }


def cuts() -> dict[str, tuple[Program, float | None]]:
    """Comparisons of uniform noise, at atoms, at ends, and where a function is no number."""
    return {
        "above a clamp": (lambda: (uniform().clamp(0.3, 0.7) > 0.3).double(), 0.7),
        "above or at a clamp": (lambda: (uniform().clamp(0.3, 0.7) >= 0.7).double(), 0.3),
        "below a clamp": (lambda: (uniform().clamp(0.3, 0.7) < 0.7).double(), 0.7),
        "below or at a clamp": (lambda: (uniform().clamp(0.3, 0.7) <= 0.3).double(), 0.3),
        "at a clamp": (lambda: (uniform().clamp(0.3, 0.7) == 0.3).double(), 0.3),
        "not at a clamp": (lambda: (uniform().clamp(0.3, 0.7) != 0.7).double(), 0.7),
        "at no clamp": (lambda: (uniform() == 0.5).double(), 0.0),
        "a clamp turned round": (lambda: (-uniform().clamp(0.3, 0.7) < -0.3).double(), 0.7),
        "a clamp in single precision": (lambda: (torch.rand(()).clamp(0.3, 0.7) >= torch.tensor(0.3)).double(), 1.0),
        "a clamp whose ends cross": (lambda: (uniform().clamp(0.7, 0.3) >= 0.3).double(), 1.0),
        "a clamp behind a function": (lambda: (uniform().clamp(0.3, 0.7).logit() > math.log(0.3 / 0.7)).double(), 0.7),
        "a bound that is noise": (lambda: (torch.clamp(POINT_THREE[None], min=uniform(1)) <= 0.3).double(), 0.3),
        "the larger of noise and a number": (lambda: (torch.maximum(POINT_THREE, uniform()) <= 0.3).double(), 0.3),
        "the smaller of noise and a number": (lambda: (torch.minimum(uniform(), POINT_THREE) < 0.3).double(), 0.3),
        "a rectifier": (lambda: ((uniform() - 0.4).relu() == 0).double(), 0.4),
        "a threshold that is no number": (lambda: (uniform() > math.nan).double() + (uniform() <= math.nan), 0.0),
        "a logarithm that is none": (lambda: ((uniform() - 0.5).log() < -1).double(), math.exp(-1)),
        "a logit that is none": (lambda: ((2 * uniform()).logit() < 0).double(), 0.25),
        "the end of a logarithm": (lambda: (uniform().log() > -math.inf).double(), 1.0),
        "times infinity": (lambda: (uniform() * math.inf > 1).double(), 1.0),
        "over infinity": (lambda: (uniform() / math.inf >= 0).double(), 1.0),
        "times nothing": (lambda: (0 * uniform() >= 0).double(), 1.0),
        "overflow": (lambda: ((1000 * uniform()).exp() == math.inf).double(), 1 - 0.709782712893384),
        "saturation": (lambda: ((40 * torch.rand(())).sigmoid() >= 1).double(), None),
        "rounding": (lambda: (0.001 * torch.rand(()) + 1000 > 1000.0005).double(), None),
        "rounding on the way": (lambda: ((1e-20 * uniform() + 1) - 1 > 5e-21).double(), 0.0),
        "rounding to half precision": (lambda: (torch.rand(()).bfloat16() < 0.3).double(), None),
        "half precision": (lambda: (torch.rand((), dtype=torch.bfloat16) < 0.301).double(), None),
        "normal noise in half precision": (lambda: torch.randn((), dtype=torch.bfloat16) ** 2, None),
        "two functions of one variable": (lambda: ((-(u := uniform())).exp() > 0.5) * (u < 0.5).double(), 0.5),
        "Gumbel": (lambda: (dist.Gumbel(ZERO, ONE).sample() > 1).double(), 1 - math.exp(-math.exp(-1))),
        "Laplace": (lambda: (dist.Laplace(ZERO, ONE).sample() > 1).double(), math.exp(-1) / 2),
        "a relaxed bit": (lambda: (dist.RelaxedBernoulli(ONE, POINT_THREE).sample() > 0.5).double(), 0.3),
        "Kumaraswamy": (lambda: (dist.Kumaraswamy(2 * ONE, 3 * ONE).sample() > 0.5).double(), 0.75**3),
        "beta": (lambda: dist.Beta(2 * ONE, 3 * ONE).sample(), 0.4),
        "gamma": (lambda: dist.Gamma(2 * ONE, ONE).sample(), 2.0),
    }


CORNERS = questions() | jumps() | kinks() | {f"{name}, compared": corner for name, corner in cuts().items()}
ALLOWED = {
    "a loop",
    "an index of uniform noise",
    *(f"{name}, compared" for name in cuts() if "a clamp" in name and name != "a clamp behind a function"),
    *("at no clamp, compared", "the larger of noise and a number, compared", "a rectifier, compared"),
    *("a threshold that is no number, compared", "Gumbel, compared", "two functions of one variable, compared"),
}
"""Those of them that are not refused."""


@pytest.mark.parametrize("name", CORNERS)
def test_a_program_is_refused_or_its_mean_is_right(name: str) -> None:
    program, truth = CORNERS[name]
    try:
        mean = exact_expectation(program).mean
    except (NotEnumerable, HiddenRandomness):
        assert name not in ALLOWED
    else:
        assert truth is not None, f"expected a refusal; got {mean.tolist()}"
        assert mean.tolist() == pytest.approx([truth], abs=1e-6)


def independent(noise: Tensor) -> Tensor:
    law = dist.Independent(dist.Normal(torch.zeros(2, **DOUBLE), 1.0, validate_args=True), 1, validate_args=True)
    return law.log_prob(noise)


def correlated(noise: Tensor) -> Tensor:
    return dist.MultivariateNormal(torch.zeros(2, **DOUBLE), torch.eye(2, **DOUBLE), validate_args=True).log_prob(noise)


def finite(noise: Tensor) -> Tensor:
    if not torch.isfinite(noise).all() or torch.isnan(noise).any():
        raise ValueError("expected finite numbers")
    return -0.5 * (noise**2).sum() - math.log(2 * math.pi)


@pytest.mark.parametrize("score", [independent, correlated, finite])
def test_questions_with_one_answer_everywhere_may_be_asked(score: Callable[[Tensor], Tensor]) -> None:
    assert exact_expectation(lambda: score(normal(2))).mean.item() == pytest.approx(-1 - math.log(2 * math.pi))


def test_second_derivatives_are_followed() -> None:
    moments = exact_expectation(lambda: torch.func.hessian(lambda x: x**4)(normal()))
    assert moments.mean.item() == pytest.approx(12)


def test_questions_may_differ_after_discrete_choices() -> None:
    def program() -> Tensor:
        bit = torch.bernoulli(POINT_THREE)
        noise = normal() * (1 + bit)
        return noise**2 if torch.isfinite(noise) and bit == 1 else noise**4

    assert exact_expectation(program).mean.item() == pytest.approx(0.3 * 4 + 0.7 * 3)


@pytest.mark.parametrize("rules", [(8, 10), (11, 16), (9, 13)])
def test_rules_of_one_kind_do_not_overlook_the_middle(rules: tuple[int, int]) -> None:
    steps: Sequence[float] = [0.46, 0.48, 0.49, 0.495]
    for at in steps:
        with pytest.raises(NotEnumerable, match="not smooth"):
            exact_expectation(lambda at=at: ((uniform() - at) * 5000).sigmoid(), rules=rules)

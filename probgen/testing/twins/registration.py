"""A model that is registered rightly, and registrations of it with a mistake each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, constraints
from torch.distributions.constraints import Constraint

from probgen.capabilities import Reparameterized
from probgen.density import Density
from probgen.errors import SupportError
from probgen.estimators.elbo import ELBO
from probgen.estimators.maximum_likelihood import MaximumLikelihood
from probgen.plugin import ModelSpec, Option, Registered
from probgen.sampler import Sampler
from probgen.training.recipe import Recipe, Stage

__all__ = [
    "Bell",
    "Coin",
    "right",
    "that_explodes",
    "that_seeds_at_import",
    "with_a_drawn_size",
    "with_a_foreign_example",
    "with_a_needed_option",
    "with_a_refused_support",
    "with_an_option_by_position",
    "with_an_unfit_recipe",
    "with_an_unknown_option",
    "with_another_default",
    "with_hidden_state",
    "with_its_own_shape",
    "with_large_examples",
    "with_no_recipe",
    "without_examples",
]

_HERE = __name__
_SCALE = Option("scale", "float", 1.0, "Standard deviation of an entry.", minimum=0.01)


class Bell(nn.Module, Density, Reparameterized):
    """Independent normal entries around learned centres."""

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if support is not constraints.real:
            raise SupportError(f"{type(self).__name__}: expected real events; got {support}. Choose another view.")
        self.event_shape, self.support = torch.Size(event_shape), support
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.centre = nn.Parameter(torch.randn(self.event_shape))
        self.scale = scale

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return Normal(self.centre, self.scale).log_prob(x).flatten(1).sum(1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self.centre + self.scale * torch.randn(n, *self.event_shape)


class Coin(nn.Module, Sampler):
    """Fair coins that can be drawn and not scored."""

    def __init__(self, *, event_shape: Sequence[int], context_shape: Any = None, support: Any = None) -> None:
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size(event_shape), None, constraints.boolean

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return Bernoulli(0.5).sample((n, *self.event_shape))


class OwnShape(Bell):
    """Has two entries whatever the data have."""

    def __init__(self, *, event_shape: Sequence[int], **others: Any) -> None:
        super().__init__(event_shape=(2, 2), **others)


class Exploding(Bell):
    """Divides by what is zero."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) / torch.zeros(())


class Needy(Bell):
    """Cannot be built without a width, which nobody is told of."""

    def __init__(self, *, width: int, **others: Any) -> None:
        super().__init__(**others)
        self.width = width


class ByPosition(Bell):
    """Takes its shapes as everybody does, and needs a width that has no name to give it by."""

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # that is the mistake
        cls, event_shape: Any, context_shape: Any, support: Any, width: int, /, **options: Any
    ) -> Self:
        """Return a model of some width."""
        return cls(event_shape=event_shape, context_shape=context_shape, support=support, **options)


class Hiding(Bell):
    """Keeps a random shift where no state dict sees it."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        self.shift = torch.randn(self.event_shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x - self.shift, context)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, context) + self.shift


class DrawnSize(Bell):
    """Has as many hidden units as chance will have it."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        self.hidden = nn.Parameter(torch.zeros(int(torch.randint(1, 2**30, ()) % 9973)))


def one_bell() -> dict[str, Bell]:
    """Return the right example."""
    return {"one": Bell(event_shape=(1,))}


def a_coin() -> dict[str, Coin]:
    """Return an example of another class."""
    return {"one": Coin(event_shape=(1,))}


def many_bells() -> dict[str, Bell]:
    """Return an example in which nothing can be summed or integrated."""
    return {"large": Bell(event_shape=(12,))}


def exploding_bell() -> dict[str, Exploding]:
    """Return an example whose loss is not finite."""
    return {"one": Exploding(event_shape=(1,))}


def recipe(model: Any) -> Recipe:
    """Return the right recipe."""
    return Recipe((Stage(MaximumLikelihood()),))


def no_recipe(model: Any) -> dict[str, int]:
    """Return what is no recipe."""
    return {"steps": 100}


def unfit_recipe(model: Any) -> Recipe:
    """Return a recipe whose estimator needs what the model lacks."""
    return Recipe((Stage(ELBO()),))


def right(target: str = "Bell", **fields: Any) -> Registered[ModelSpec]:
    """Return the right registration, or one with other `fields`."""
    usual: dict[str, Any] = {
        "options": [_SCALE],
        "supports": ["real"],
        "examples": f"{_HERE}:one_bell",
        "recipe": f"{_HERE}:recipe",
    }
    spec = ModelSpec("twin/bell", "Independent normal entries.", f"{_HERE}:{target}", **{**usual, **fields})
    return Registered(spec, plugin="twins", distribution="probgen", version="")


def without_examples() -> Registered[ModelSpec]:
    """Give the kit nothing to run."""
    return right(examples="")


def with_a_foreign_example() -> Registered[ModelSpec]:
    """Give it another class."""
    return right(examples=f"{_HERE}:a_coin")


def with_large_examples() -> Registered[ModelSpec]:
    """Give it only what nothing can be summed over."""
    return right(examples=f"{_HERE}:many_bells")


def with_another_default() -> Registered[ModelSpec]:
    """Say another default than the class."""
    return right(options=[Option("scale", "float", 2.0, "Standard deviation of an entry.")])


def with_an_unknown_option() -> Registered[ModelSpec]:
    """Offer an option that the class does not take."""
    return right(options=[_SCALE, Option("width", "int", 8, "Width of nothing.")])


def with_a_needed_option() -> Registered[ModelSpec]:
    """Leave out an option that the class cannot do without."""
    return right("Needy", options=[])


def with_an_option_by_position() -> Registered[ModelSpec]:
    """Leave out an option that the class takes by position alone."""
    return right("ByPosition")


def with_a_refused_support() -> Registered[ModelSpec]:
    """Name a support that the class refuses."""
    return right(supports=["real", "binary"])


def with_its_own_shape() -> Registered[ModelSpec]:
    """Ignore the shape of the data."""
    return right("OwnShape")


def with_no_recipe() -> Registered[ModelSpec]:
    """Return something else from the function of the recipe."""
    return right(recipe=f"{_HERE}:no_recipe")


def with_an_unfit_recipe() -> Registered[ModelSpec]:
    """Train a density by an estimator of latent variables."""
    return right(recipe=f"{_HERE}:unfit_recipe")


def that_explodes() -> Registered[ModelSpec]:
    """Have a loss that is not finite."""
    return right("Exploding", examples=f"{_HERE}:exploding_bell")


def with_hidden_state() -> Registered[ModelSpec]:
    """Keep a random tensor outside of the state dict."""
    return right("Hiding")


def with_a_drawn_size() -> Registered[ModelSpec]:
    """Draw a size at random."""
    return right("DrawnSize")


def that_seeds_at_import() -> Registered[ModelSpec]:
    """Seed the global streams when it is imported."""
    return right().__class__(
        ModelSpec("twin/seeding", "Its module seeds.", "probgen.testing.twins.seeding:Bell", examples=f"{_HERE}:one_bell"),
        plugin="twins",
        distribution="probgen",
        version="",
    )

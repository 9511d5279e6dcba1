"""An estimator that is registered rightly, and registrations of it with a mistake each."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.distributions import Normal

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.claims import Claims, Consistent, Heuristic, Unbiased
from probgen.errors import ConfigurationError
from probgen.plugin import EstimatorSpec, Option, Registered
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems import known_problems
from probgen.testing.twins.likelihoods import PlainLikelihood

__all__ = [
    "NoisyLikelihood",
    "of_something_else",
    "right",
    "that_breaks_at_a_choice",
    "that_breaks_at_a_limit",
    "that_breaks_at_a_maximum",
    "that_breaks_beside_an_excluded_limit",
    "that_builds_another",
    "that_refuses_its_defaults",
    "that_seeds_at_import",
    "whose_class_breaks_at_its_own_defaults",
    "whose_class_refuses_its_own_defaults",
    "with_a_fixed_model",
    "with_a_mute_option",
    "with_a_needed_option",
    "with_a_taken_name",
    "with_an_option_by_position",
    "with_an_unfit_problem",
    "with_an_unknown_option",
    "with_another_class_default",
    "with_another_default",
    "with_another_name",
    "with_no_problems",
    "without_a_word",
]

_HERE = __name__
_DRAWS = Option("draws", "int", 2, "Draws of the noise that are averaged.", minimum=1)
_NOISE = Option("noise", "str", "normal", "What the noise is.", choices=("normal", "signs"))


class NoisyLikelihood(PlainLikelihood):
    """The log-likelihood and noise of mean zero, averaged over draws.

    Args:
        draws: How many.
        noise: Of which kind.
    """

    def __init__(self, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal") -> None:
        self.draws, self.noise = draws, noise

    @property
    def claims(self) -> Claims:
        """Unbiased."""
        return Claims(value=Unbiased("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores with noise."""
        scores = super().scores(model, batch)
        noise = torch.randn(self.draws, len(batch), dtype=scores.dtype)
        return scores + (noise.sign() if self.noise == "signs" else noise).mean(0)


Mute = type("Mute", (NoisyLikelihood,), {"__doc__": None, "__module__": __name__})
"""Says nothing of itself."""


class Needy(NoisyLikelihood):
    """Cannot be built without a scale, which nobody is told of."""

    def __init__(self, *, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale


class ByPosition(NoisyLikelihood):
    """Cannot be built without a scale, which nobody is told of and which has no name to give it by."""

    def __init__(self, scale: float, /, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale


class Reluctant(NoisyLikelihood):
    """Is built by name, and refuses what it does in Python when no options are given."""

    def __init__(self, *, draws: int = 0, noise: Literal["normal", "signs"] = "normal") -> None:
        if draws < 1:
            raise ConfigurationError(f"Reluctant: expected at least 1 draw; got {draws}. Take more.")
        super().__init__(draws=draws, noise=noise)

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal"
    ) -> Self:
        """Return one that has draws."""
        return cls(draws=draws, noise=noise)


class Indefinite(Reluctant):
    """Is built by name, and in Python compares nothing with a number."""

    def __init__(self, *, draws: Any = None, noise: Literal["normal", "signs"] = "normal") -> None:
        super().__init__(draws=draws, noise=noise)


class Ungrateful(NoisyLikelihood):
    """Refuses the options that it has when none are given."""

    def __init__(self, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal") -> None:
        if draws < 3:
            raise ConfigurationError(f"Ungrateful: expected at least 3 draws; got {draws}. Take more.")
        super().__init__(draws=draws, noise=noise)


class Changeling(NoisyLikelihood):
    """Builds another estimator than it is."""

    @classmethod
    def build(cls, *, draws: int = 2, noise: str = "normal") -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the plain one."""
        return PlainLikelihood()


class TwoMinds(NoisyLikelihood):
    """Promises what it is built to by name, and in Python something else by default."""

    def __init__(self, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal", promising: bool = True) -> None:
        super().__init__(draws=draws, noise=noise)
        self.promising = promising

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal"
    ) -> Self:
        """Return one that promises nothing."""
        return cls(draws=draws, noise=noise, promising=False)

    @property
    def claims(self) -> Claims:
        """Consistent, or nothing."""
        value = Consistent("log_prob", "draws") if self.promising else Heuristic("it worked once")
        return Claims(value=value, gradient={"*": Unbiased("grad:log_prob")})


class Breaks(NoisyLikelihood):
    """Divides by one draw less than there are, or less than eight, and looks signs up where there are none."""

    def __init__(self, *, draws: int = 2, noise: Literal["normal", "signs"] = "normal") -> None:
        super().__init__(draws=draws, noise=noise)
        self.correction = draws / (draws - 1) / (draws - 8)
        self.law = {"normal": torch.randn}[noise]


def right(kind: str = "NoisyLikelihood", /, **fields: Any) -> Registered[EstimatorSpec]:
    """Return the right registration, or one with other `fields`."""
    kebab = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).strip("-")
    usual: dict[str, Any] = {
        "name": kebab,
        "summary": "The log-likelihood, with noise.",
        "target": f"{_HERE}:{kind}",
        "options": [_DRAWS, _NOISE],
        "problems": f"{_HERE}:problems",
    }
    spec = EstimatorSpec(**{**usual, **fields})
    return Registered(spec, plugin="twins", distribution="probgen", version="")


def problems() -> list[Problem]:
    """Return the right problem."""
    known = known_problems()["categorical"]
    return [Problem("twin-categorical", known.make, known.oracles)]


def no_problems() -> dict[str, Problem]:
    """Return what is no list of problems."""
    return known_problems()


def taken_problems() -> list[Problem]:
    """Return one of the kit's."""
    return [known_problems()["categorical"]]


def unfit_problems() -> list[Problem]:
    """Return one of a model that cannot be scored."""
    known = known_problems()["two-point-game"]
    return [Problem("twin-game", known.make, known.oracles)]


def fixed_problems() -> list[Problem]:
    """Return one of a model that cannot be trained."""

    def make(dtype: torch.dtype) -> tuple[Any, Batch]:
        return as_model(_standard(dtype)), Batch(torch.linspace(-1, 1, 3, dtype=dtype))

    def log_prob(situation: Situation) -> Tensor:
        return _standard(situation.batch.x.dtype).log_prob(situation.batch.x)

    return [Problem("twin-normal", make, {"log_prob": Oracle(log_prob, maximised=True)})]


def _standard(dtype: torch.dtype) -> Normal:
    return Normal(torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype))


def with_another_name() -> Registered[EstimatorSpec]:
    """Call it something else."""
    return right(name="likelihood")


def without_a_word() -> Registered[EstimatorSpec]:
    """Have no docstring."""
    return right("Mute")


def with_a_mute_option() -> Registered[EstimatorSpec]:
    """Say nothing of an option."""
    return right(options=[_DRAWS, Option("noise", "str", "normal", "", choices=("normal", "signs"))])


def with_another_default() -> Registered[EstimatorSpec]:
    """Say another default than the class."""
    return right(options=[Option("draws", "int", 5, "Draws of the noise."), _NOISE])


def with_an_unknown_option() -> Registered[EstimatorSpec]:
    """Offer an option that the class does not take."""
    return right(options=[_DRAWS, _NOISE, Option("width", "int", 8, "Width of nothing.")])


def with_a_needed_option() -> Registered[EstimatorSpec]:
    """Leave out an option that the class cannot do without."""
    return right("Needy")


def with_an_option_by_position() -> Registered[EstimatorSpec]:
    """Leave out an option that the class takes by position alone."""
    return right("ByPosition")


def of_something_else() -> Registered[EstimatorSpec]:
    """Name a function."""
    return right(target=f"{_HERE}:problems")


def that_builds_another() -> Registered[EstimatorSpec]:
    """Build another class."""
    return right("Changeling")


def that_refuses_its_defaults() -> Registered[EstimatorSpec]:
    """Refuse the default options."""
    return right("Ungrateful")


def with_another_class_default() -> Registered[EstimatorSpec]:
    """Have other defaults in Python."""
    return right("TwoMinds")


def whose_class_refuses_its_own_defaults() -> Registered[EstimatorSpec]:
    """Have defaults in Python that are refused."""
    return right("Reluctant")


def whose_class_breaks_at_its_own_defaults() -> Registered[EstimatorSpec]:
    """Raise a TypeError at the defaults in Python."""
    return right("Indefinite")


def that_breaks_at_a_choice() -> Registered[EstimatorSpec]:
    """Raise a KeyError at a choice."""
    return right("Breaks", options=[_NOISE])


def that_breaks_at_a_limit() -> Registered[EstimatorSpec]:
    """Raise a ZeroDivisionError at the least value."""
    return right("Breaks", options=[_DRAWS])


def that_breaks_at_a_maximum() -> Registered[EstimatorSpec]:
    """Raise a ZeroDivisionError at the greatest whole number that is no greater than the maximum."""
    return right("Breaks", options=[Option("draws", "int", 2, "Draws of the noise.", minimum=2, maximum=8.5)])


def that_breaks_beside_an_excluded_limit() -> Registered[EstimatorSpec]:
    """Raise a ZeroDivisionError at the least whole number above what is excluded."""
    return right("Breaks", options=[Option("draws", "int", 2, "Draws of the noise.", above=0)])


def with_no_problems() -> Registered[EstimatorSpec]:
    """Return a mapping from the function of the problems."""
    return right(problems=f"{_HERE}:no_problems")


def with_a_taken_name() -> Registered[EstimatorSpec]:
    """Take the name of a problem of the kit's."""
    return right(problems=f"{_HERE}:taken_problems")


def with_an_unfit_problem() -> Registered[EstimatorSpec]:
    """Register a problem that is skipped without a word."""
    return right(problems=f"{_HERE}:unfit_problems")


def with_a_fixed_model() -> Registered[EstimatorSpec]:
    """Register a problem whose model has no parameters."""
    return right(problems=f"{_HERE}:fixed_problems")


def that_seeds_at_import() -> Registered[EstimatorSpec]:
    """Seed the global streams when it is imported."""
    return right("PlainLikelihood", target="probgen.testing.twins.seeding:PlainLikelihood", options=[], problems="")

"""Are the options that a spec lists those that the class takes, with the same defaults?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from probgen.estimator import Estimator
from probgen.plugin import EstimatorSpec, ModelSpec, Registered
from probgen.shapes import Model
from probgen.testing.check import Check
from probgen.testing.trial import Judgement, Trial, conforms, fails

__all__ = ["BOUND", "check_options", "options_check"]

BOUND = ("event_shape", "context_shape", "support")
"""What a model's `build` gets from the data rather than from options."""


def options_check(
    *,
    another_default: Callable[[], Any],
    unknown: Callable[[], Any],
    needed: Callable[[], Any],
    by_position: Callable[[], Any],
) -> Check:
    """Return the check, with wrong registrations of a kind of thing.

    Args:
        another_default: One with another default in the spec.
        unknown: One with an option that the class lacks.
        needed: One without an option that the class needs.
        by_position: One without an option that the class needs and takes by position alone.
    """
    return Check(
        "options-agree",
        "The options of the spec are those of the class, with the same defaults.",
        "registration",
        check_options,
        {
            "another default in the spec": another_default,
            "an option that the class lacks": unknown,
            "an option that the spec lacks": needed,
            "an option by position that the spec lacks": by_position,
        },
    )


def check_options(registered: Registered[ModelSpec | EstimatorSpec], trial: Trial) -> Iterator[Judgement]:
    """`build`, or the constructor where that is what it calls, takes every option; none that it needs is left out."""
    accepted, others_too = _accepted(registered.load_class(Model if isinstance(registered.spec, ModelSpec) else Estimator))
    options = {option.name: option.default for option in registered.spec.options}
    missing = [name for name, parameter in accepted.items() if parameter.default is parameter.empty and name not in options]
    verdict = fails(f"`build` cannot do without {', '.join(missing)}") if missing else conforms("it needs no others")
    yield Judgement("the spec has every option that `build` needs", verdict)
    for name, default in options.items():
        if name not in accepted:
            listed = ", ".join(accepted) or "none"
            verdict = conforms("it is passed on") if others_too else fails(f"`build` does not take it; it takes {listed}")
        elif accepted[name].kind is inspect.Parameter.POSITIONAL_ONLY:
            verdict = fails("`build` takes it by position alone, and options are given by name")
        elif accepted[name].default is inspect.Parameter.empty or _same(accepted[name].default, default):
            verdict = conforms("the defaults agree")
        else:
            verdict = fails(f"expected the default of `build`, {accepted[name].default!r}; got {default!r} in the spec")
        yield Judgement(f"option {name}", verdict)


def _accepted(target: type[Model] | type[Estimator]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the parameters that are options, by name, and whether others are passed on."""
    contract, bound = (Model, BOUND) if issubclass(target, Model) else (Estimator, ())
    inherited = getattr(target.build, "__func__", None) is contract.build.__func__  # pyright: ignore[reportFunctionMemberAccess]
    parameters = list(inspect.signature(target if inherited else target.build).parameters.values())
    if not inherited:
        parameters = parameters[len(bound) :]  # whatever they are called: `build` is called with these by position
    named = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and parameter.name not in bound
    }
    return named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _same(one: Any, other: Any) -> bool:
    both = [tuple(value) if isinstance(value, list) else value for value in (one, other)]
    return both[0] == both[1] and isinstance(both[0], bool) == isinstance(both[1], bool)

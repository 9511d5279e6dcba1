"""Checks of what a plugin says about an estimator, before anybody trains with it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from probgen.errors import ConfigurationError, ProbgenError
from probgen.estimator import Estimator
from probgen.plugin import EstimatorSpec, Option, Registered, validate
from probgen.testing.check import Check
from probgen.testing.checks.options import options_check
from probgen.testing.checks.registration import import_check
from probgen.testing.checks.scenes import set_up
from probgen.testing.problem import Problem
from probgen.testing.problems import known_problems
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails
from probgen.testing.twins import estimator_registration as twins
from probgen.testing.verdict import Verdict

__all__ = ["estimator_registration_checks", "require_trainable"]


_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_STEP = 1e-6
"""How far from a limit that is excluded, relative to its size above 1: single precision tells the two apart."""


def estimator_registration_checks() -> tuple[Check, ...]:
    """Return every check of how an estimator is registered."""
    return _CHECKS


def require_trainable(problem: Problem) -> None:
    """Raise where a problem's model has nothing to take a gradient by.

    Raises:
        ConfigurationError: it has no parameters that are trained.
    """
    model, _ = problem.make(torch.float64)
    if not isinstance(model, nn.Module) or not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigurationError(
            f"Problem {problem.name!r}: expected a model with parameters, which gradients are taken by; got a "
            f"{type(model).__name__} without any. Make its numbers an nn.Parameter."
        )


def _named(registered: Registered[EstimatorSpec], trial: Trial) -> Iterator[Judgement]:
    name, target = registered.spec.name, registered.load_class(Estimator)
    same = name.replace("-", "") == target.__name__.replace("_", "").lower()
    verdict = conforms("it is") if same else fails(f"expected the name of {target.__name__} in kebab-case; got {name!r}")
    yield Judgement("its name is that of its class", verdict)
    said = (target.__dict__.get("__doc__") or "").strip()
    yield Judgement(
        "its class says what it is", conforms("it does") if said else fails(f"{target.__name__} has no docstring")
    )
    unsaid = [option.name for option in registered.spec.options if not option.help.strip()]
    verdict = fails(f"nothing is said of {', '.join(unsaid)}") if unsaid else conforms("they do")
    yield Judgement("its options say what they are", verdict)


def _builds(registered: Registered[EstimatorSpec], trial: Trial) -> Iterator[Judgement]:
    target = registered.load_class(Estimator)
    try:
        usual = _built(registered)
    except ProbgenError as error:
        yield Judgement("default options build it", fails(f"refused: {error}"))
        return
    kind = type(usual).__name__
    right = conforms("they do") if isinstance(usual, target) else fails(f"expected a {target.__name__}; got {kind}")
    yield Judgement("default options build it", right)
    if isinstance(usual, target):
        yield Judgement("its defaults are those of its class", _like_its_class(usual, target))
        for option in registered.spec.options:
            for value in _limits(option):
                yield Judgement(f"{option.name}={value} builds it", _allowed(registered, option.name, value))


def _like_its_class(usual: Estimator, target: type[Estimator]) -> Verdict:
    """Compare what is built by name with what a line of Python without options makes."""
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.default is parameter.empty for parameter in parameters if parameter.kind not in _COLLECTING):
        return conforms("its class has options without a default")
    try:
        plain = target()
    except ProbgenError as error:
        return fails(f"{target.__name__}() is refused: {error}")
    for what, one, other in (
        ("claims", plain.claims, usual.claims),
        ("an objective", plain.objective, usual.objective),
        ("examples that are coupled", plain.batch_coupled, usual.batch_coupled),
    ):
        if one != other:
            return fails(f"{target.__name__}() has other {what} than the estimator of this name")
    return conforms("they are")


def _allowed(registered: Registered[EstimatorSpec], name: str, value: Any) -> Verdict:
    try:
        built = _built(registered, **{name: value})
    except ProbgenError as refusal:  # with others, perhaps, it is allowed
        return conforms(f"refused: {refusal}")
    return conforms("it does") if isinstance(built, Estimator) else fails(f"expected an estimator; got {built!r}")


def _built(registered: Registered[EstimatorSpec], **options: Any) -> Any:
    spec = registered.spec
    return registered.load_class(Estimator).build(**validate(options, spec.options, owner=spec.name))


def _limits(option: Option) -> list[Any]:
    """Return the choices of an option, or the least and the greatest number that it allows."""
    if option.choices is not None:
        return list(option.choices)
    if option.type == "float":
        least = _ends(option.minimum, option.above, lambda limit: limit + _STEP * max(1.0, abs(limit)))
        greatest = _ends(option.maximum, option.below, lambda limit: limit - _STEP * max(1.0, abs(limit)))
    else:  # what is no number has no limits
        least = [math.ceil(end) for end in _ends(option.minimum, option.above, lambda limit: math.floor(limit) + 1)]
        greatest = [math.floor(end) for end in _ends(option.maximum, option.below, lambda limit: math.ceil(limit) - 1)]
    ends = [*least, *greatest]
    values = [(end,) for end in ends] if option.type == "ints" else ends
    return list(dict.fromkeys(value for value in values if option.allows(value)))


def _ends(included: float | None, excluded: float | None, beside: Callable[[float], float]) -> list[float]:
    """Return a limit that is allowed and what lies beside one that is not, as far as there are such limits."""
    ends = [] if included is None or not math.isfinite(included) else [included]
    return ends if excluded is None or not math.isfinite(excluded) else [*ends, beside(excluded)]


def _problems(registered: Registered[EstimatorSpec], trial: Trial) -> Iterator[Judgement]:
    function = registered.load("problems")
    if function is None:
        raise NotApplicable("it has no problems of its own")
    problems = function()
    if not isinstance(problems, Sequence) or not problems or not all(isinstance(problem, Problem) for problem in problems):
        kinds = {type(problem).__name__ for problem in problems} if isinstance(problems, Sequence) else set()
        got = f"{type(problems).__name__} of {', '.join(sorted(kinds)) or 'something else'}"
        yield Judgement("its problems are problems", fails(f"expected a list of Problem; got a {got}"))
        return
    names = [problem.name for problem in problems]
    taken = [name for name in names if name in known_problems() or names.count(name) > 1]
    verdict = fails(f"{taken[0]!r} is the name of another one") if taken else conforms("they have")
    yield Judgement("its problems have names of their own", verdict)
    estimator = _built(registered)
    for problem in problems:
        yield Judgement(f"it can be held against {problem.name}", _fitting(estimator, problem, trial))


def _fitting(estimator: Estimator, problem: Problem, trial: Trial) -> Verdict:
    try:
        require_trainable(problem)
        scene = set_up(estimator, problem, seed=trial.seed(problem.name))
        for phase in scene.phases:
            scene.estimate(phase)
    except ProbgenError as error:
        return fails(str(error))
    return conforms("it fits")


_CHECKS = (
    Check(
        "named-as-its-class",
        "Its name is that of its class in kebab-case, and class and options say what they are.",
        "registration",
        _named,
        {
            "another name": twins.with_another_name,
            "nothing said": twins.without_a_word,
            "a mute option": twins.with_a_mute_option,
        },
    ),
    options_check(
        another_default=twins.with_another_default,
        unknown=twins.with_an_unknown_option,
        needed=twins.with_a_needed_option,
        by_position=twins.with_an_option_by_position,
    ),
    Check(
        "builds-by-name",
        "Default options build what its class makes without any; each choice and limit builds it, or is refused in words.",
        "registration",
        _builds,
        {
            "is no estimator": twins.of_something_else,
            "builds another class": twins.that_builds_another,
            "refuses its defaults": twins.that_refuses_its_defaults,
            "another default in its class": twins.with_another_class_default,
            "a class that refuses its own defaults": twins.whose_class_refuses_its_own_defaults,
            "a class that breaks at its own defaults": twins.whose_class_breaks_at_its_own_defaults,
            "breaks at a choice": twins.that_breaks_at_a_choice,
            "breaks at a limit": twins.that_breaks_at_a_limit,
            "breaks at a maximum": twins.that_breaks_at_a_maximum,
            "breaks beside an excluded limit": twins.that_breaks_beside_an_excluded_limit,
        },
    ),
    Check(
        "problems-fit",
        "The problems that it is registered with have names of their own, and it can be held against each.",
        "registration",
        _problems,
        {
            "problems that are none": twins.with_no_problems,
            "a name that is taken": twins.with_a_taken_name,
            "a problem that it does not fit": twins.with_an_unfit_problem,
            "a model without parameters": twins.with_a_fixed_model,
        },
    ),
    import_check(twins.that_seeds_at_import),
)

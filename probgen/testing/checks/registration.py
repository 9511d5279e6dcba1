"""Checks of what a plugin says about a model, before anybody builds it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from probgen.capabilities import capabilities
from probgen.errors import ProbgenError
from probgen.plugin import ModelSpec, Registered
from probgen.shapes import Model
from probgen.supports import support_name
from probgen.testing.check import Check
from probgen.testing.checks.usage import CHECKS as USAGE
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.surroundings import changed_by_executing, changed_by_importing
from probgen.testing.tiny import built, examples_of, supports_of
from probgen.testing.trial import Judgement, Level, NotApplicable, Trial, conforms, fails, undecided
from probgen.testing.twins import registration as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS", "registration_checks"]

_BOUND = ("event_shape", "context_shape", "support")
"""What `build` gets from the data rather than from options."""

_BASIC = ("normalised", "samples-match")
"""Questions that every density must be answered, on one of its examples at least."""


def registration_checks() -> tuple[Check, ...]:
    """Return every check of how a model is registered."""
    return (*CHECKS, *USAGE)


def _examples(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    function = registered.load("examples")
    if function is None:
        yield Judgement("examples", fails("expected examples; got none. Give the spec examples='package.module:function'"))
        return
    examples = function()
    if not isinstance(examples, Mapping) or not examples:
        yield Judgement("examples", fails(f"expected a mapping from names to models; got {examples!r}"))
        return
    target = registered.load_class(Model)
    for name, example in examples.items():
        right = isinstance(example, target)
        kind = type(example).__name__
        verdict = conforms(f"a {kind}") if right else fails(f"expected a {target.__name__}; got a {kind}")
        yield Judgement(f"example {name!r}", verdict)


def _answers(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    from probgen.testing.checks.models import model_checks

    examples = [example for example in examples_of(registered).values() if isinstance(example, Model)]
    asked = False
    for check in model_checks():
        concerned = [example for example in examples if capabilities(example).issuperset(check.needs)]
        if check.name in _BASIC and concerned:
            asked = True
            yield Judgement(f"whether it is {check.name}", _answered(check, concerned, trial))
    if not asked:
        raise NotApplicable("no example is a density")


def _answered(check: Check, examples: list[Model], trial: Trial) -> Verdict:
    for example in sorted(examples, key=lambda example: example.event_shape.numel()):
        result = run_check(check, example, trial.subject, level=trial.level, entropy=trial.entropy)
        if result.status in (Status.PASSED, Status.FAILED):  # which of the two, the example's own check says
            return conforms("it can be answered on an example")
    return undecided("no example lets it be answered; give one of few events, or of one real entry")


def _options(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    accepted, others_too = _accepted(registered.load_class(Model))
    options = {option.name: option.default for option in registered.spec.options}
    missing = [name for name, parameter in accepted.items() if parameter.default is parameter.empty and name not in options]
    verdict = fails(f"`build` cannot do without {', '.join(missing)}") if missing else conforms("it needs no others")
    yield Judgement("the spec has every option that `build` needs", verdict)
    for name, default in options.items():
        if name not in accepted:
            listed = ", ".join(accepted) or "none"
            verdict = conforms("it is passed on") if others_too else fails(f"`build` does not take it; it takes {listed}")
        elif accepted[name].default is inspect.Parameter.empty or _same(accepted[name].default, default):
            verdict = conforms("the defaults agree")
        else:
            verdict = fails(f"expected the default of `build`, {accepted[name].default!r}; got {default!r} in the spec")
        yield Judgement(f"option {name}", verdict)


def _accepted(target: type[Model]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the parameters that are options, by name, and whether others are passed on."""
    inherited = getattr(target.build, "__func__", None) is Model.build.__func__  # pyright: ignore[reportFunctionMemberAccess]
    parameters = list(inspect.signature(target if inherited else target.build).parameters.values())
    if not inherited:
        parameters = parameters[len(_BOUND) :]  # whatever they are called: `build` is called with these by position
    named = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and parameter.name not in _BOUND
    }
    return named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _same(one: Any, other: Any) -> bool:
    both = [tuple(value) if isinstance(value, list) else value for value in (one, other)]
    return both[0] == both[1] and isinstance(both[0], bool) == isinstance(both[1], bool)


def _builds(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    examples = [example for example in examples_of(registered).values() if isinstance(example, Model)]
    for support in supports_of(registered.spec):
        name = support_name(support)
        shapes = tuple(example.event_shape for example in examples if example.support == support)
        try:
            model, shape = built(registered, support, shapes=shapes)
        except ProbgenError as error:
            yield Judgement(f"default options build a model of {name} events", fails(str(error)))
            continue
        found = {"event_shape": model.event_shape, "context_shape": model.context_shape, "support": model.support}
        for what, asked in zip(_BOUND, (shape, None, support), strict=True):
            right = found[what] == asked
            verdict = conforms("as asked") if right else fails(f"expected {what} {asked}; got {found[what]}")
            yield Judgement(f"a model of {name} events has the {what} asked for", verdict)


def _import(registered: Registered[ModelSpec], trial: Trial) -> Iterator[Judgement]:
    registered.load()
    module = registered.spec.target.partition(":")[0]
    if trial.level is Level.QUICK:
        try:
            changed = changed_by_executing(module)
        except Exception as error:
            raise NotApplicable(f"{module} may run but once ({error}); level standard imports it afresh") from error
    else:
        changed = changed_by_importing(module)
    verdict = fails(f"expected nothing to change; got another state of {', '.join(changed)}") if changed else None
    yield Judgement(f"importing {module} changes nothing", verdict or conforms("nothing changed"))


CHECKS = (
    Check(
        "examples-are-models",
        "It is registered with instances for the kit to run.",
        "registration",
        _examples,
        {"no examples": twins.without_examples, "an example of another class": twins.with_a_foreign_example},
    ),
    Check(
        "basics-are-answered",
        "Whether it is normalised, and its draws follow its density, can be answered on an example.",
        "registration",
        _answers,
        {"only examples of many events": twins.with_large_examples},
    ),
    Check(
        "options-agree",
        "The options of the spec are those of the class, with the same defaults.",
        "registration",
        _options,
        {
            "another default in the spec": twins.with_another_default,
            "an option that the class lacks": twins.with_an_unknown_option,
            "an option that the spec lacks": twins.with_a_needed_option,
        },
    ),
    Check(
        "builds-by-name",
        "It is built with its default options for every support that it names, with the shapes asked for.",
        "registration",
        _builds,
        {"a support that it refuses": twins.with_a_refused_support, "shapes of its own": twins.with_its_own_shape},
    ),
    Check(
        "import-is-pure",
        "Importing it leaves random streams, default type, threads and environment alone.",
        "registration",
        _import,
        {"seeds at import": twins.that_seeds_at_import},
    ),
)

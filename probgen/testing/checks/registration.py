"""Checks of what a plugin says about a model, before anybody builds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from probgen.capabilities import capabilities
from probgen.errors import ProbgenError
from probgen.plugin import ModelSpec, Registered
from probgen.plugin.specs import Spec
from probgen.shapes import Model
from probgen.supports import support_name
from probgen.testing.check import Check
from probgen.testing.checks.options import BOUND, options_check
from probgen.testing.checks.usage import CHECKS as USAGE
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.surroundings import changed_by_executing, changed_by_importing
from probgen.testing.tiny import built, examples_of, supports_of
from probgen.testing.trial import Judgement, Level, NotApplicable, Trial, conforms, fails, undecided
from probgen.testing.twins import registration as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS", "check_import", "import_check", "registration_checks"]

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
        for what, asked in zip(BOUND, (shape, None, support), strict=True):
            right = found[what] == asked
            verdict = conforms("as asked") if right else fails(f"expected {what} {asked}; got {found[what]}")
            yield Judgement(f"a model of {name} events has the {what} asked for", verdict)


def check_import(registered: Registered[Spec], trial: Trial) -> Iterator[Judgement]:
    """Importing the module that has the class leaves the process as it was."""
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


def import_check(that_seeds: Callable[[], Any]) -> Check:
    """Return the check of imports, with a wrong registration of a kind of thing: one whose module seeds torch."""
    return Check(
        "import-is-pure",
        "Importing it leaves random streams, default type, threads and environment alone.",
        "registration",
        check_import,
        {"seeds at import": that_seeds},
    )


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
    options_check(
        another_default=twins.with_another_default,
        unknown=twins.with_an_unknown_option,
        needed=twins.with_a_needed_option,
        by_position=twins.with_an_option_by_position,
    ),
    Check(
        "builds-by-name",
        "It is built with its default options for every support that it names, with the shapes asked for.",
        "registration",
        _builds,
        {"a support that it refuses": twins.with_a_refused_support, "shapes of its own": twins.with_its_own_shape},
    ),
    import_check(twins.that_seeds_at_import),
)

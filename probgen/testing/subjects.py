"""What can be checked: names, specs, models and estimators become subjects, each with the checks that concern it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch.distributions import Distribution

from probgen.adapters import as_model
from probgen.capabilities import capabilities
from probgen.errors import ConfigurationError, UnknownNameError, suggest
from probgen.estimator import Estimator
from probgen.plugin import EstimatorSpec, ModelSpec, Registered, registry, validate
from probgen.shapes import Model
from probgen.testing.check import Check
from probgen.testing.problem import Problem
from probgen.testing.problems import known_problems
from probgen.testing.trial import Judgement, Trial

__all__ = ["Subject", "estimator_subject", "find", "model_subject", "problems_of", "registration_subject", "subjects_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """Something to check.

    Args:
        name: What results call it: `"acme/rocket"`, `"acme/rocket[small]"`, `"elbo"`.
        thing: What the checks are given.
        checks: The checks that concern it.
        known: The names of all checks of its kind, also of those that do not concern it.
    """

    name: str
    thing: Any
    checks: tuple[Check, ...]
    known: frozenset[str]

    @property
    def of_estimator(self) -> bool:
        """Whether it is an estimator, or how one is registered."""
        registration = isinstance(self.thing, Registered) and isinstance(self.thing.spec, EstimatorSpec)
        return registration or any(check.kind == "estimator" for check in self.checks)


def subjects_of(what: Any, *, name: str | None = None, problems: Sequence[Problem] = ()) -> list[Subject]:
    """Return the subjects in `what`.

    A name or a spec is a subject by itself, whose registration is checked: a model's is called as the model is, that of an
    estimator `"elbo[registration]"`. Each example of the model, or the estimator with its default options, is another one.

    Args:
        what: A registered name, a spec, a model, a `torch.distributions` object, an estimator, a list of these, or a mapping
            from names to these.
        name: What to call it; None for its own name.
        problems: Further problems to hold an estimator's claims against.

    Raises:
        UnknownNameError: nothing is registered under the name.
        PluginLoadError: the class of a model is not where its spec says.
        ConfigurationError: it is none of these.
    """
    if isinstance(what, Mapping):
        return [subject for key, part in what.items() for subject in subjects_of(part, name=str(key), problems=problems)]
    if isinstance(what, list | tuple):
        return _told_apart([subject for part in what for subject in subjects_of(part, problems=problems)])
    if isinstance(what, str):
        what = find(what)
    elif isinstance(what, ModelSpec | EstimatorSpec):
        what = Registered(what, plugin="", distribution="", version="")
    if isinstance(what, Registered):
        name = name or what.spec.name
        return list(_of_model(what, name) if isinstance(what.spec, ModelSpec) else _of_estimator(what, name, problems))
    if isinstance(what, Estimator):
        return [estimator_subject(what, name=name, problems=problems)]
    if isinstance(what, Model | Distribution):
        return [model_subject(what, name=name)]
    raise ConfigurationError(
        f"check: expected a registered name, a spec, a model or an estimator; got {type(what).__name__}. "
        "Derive it from Density, Sampler or Estimator."
    )


def model_subject(model: Any, *, name: str | None = None, about: tuple[type, ...] = ()) -> Subject:
    """Return a model as a subject.

    Args:
        model: A `Model`, or a `torch.distributions` object.
        name: What to call it; None for its class's name.
        about: Contracts to be checked; checks that need other capabilities and none of these are left out. Empty for all.
    """
    from probgen.testing.checks.models import model_checks

    adapted = as_model(model)
    held = capabilities(adapted)
    every = model_checks()
    concerned = [
        check
        for check in every
        if held.issuperset(check.needs)
        and (not about or not check.needs or any(issubclass(need, about) for need in check.needs))
    ]
    return Subject(name or type(model).__name__, adapted, tuple(concerned), _names(every))


def estimator_subject(estimator: Estimator, *, name: str | None = None, problems: Sequence[Problem] = ()) -> Subject:
    """Return an estimator as a subject, to be held against the kit's problems and further ones.

    Raises:
        ConfigurationError: two problems have one name, or a problem's model has no parameters.
    """
    from probgen.testing.checks.estimator_registration import require_trainable
    from probgen.testing.checks.estimators import estimator_checks

    taken = set(known_problems())
    for problem in problems:
        if problem.name in taken:
            raise ConfigurationError(
                f"check: expected problems with names of their own; got {problem.name!r} twice. Rename the plugin's."
            )
        taken.add(problem.name)
        require_trainable(problem)
    checks = tuple(_on(check, tuple(problems)) for check in estimator_checks())
    return Subject(name or type(estimator).__name__, estimator, checks, _names(checks))


def registration_subject(registered: Registered[EstimatorSpec], *, name: str | None = None) -> Subject:
    """Return how an estimator is registered as a subject."""
    from probgen.testing.checks.estimator_registration import estimator_registration_checks

    checks = estimator_registration_checks()
    return Subject(f"{name or registered.spec.name}[registration]", registered, checks, _names(checks))


def find(name: str) -> Registered[Any]:
    """Return the model or the estimator that is registered under `name`.

    Raises:
        UnknownNameError: there is none.
    """
    known: dict[str, Registered[Any]] = {**registry().estimators, **registry().models}
    if name not in known:
        failed = "; ".join(map(str, registry().problems))
        raise UnknownNameError(
            f"check: expected the name of a model or an estimator; got {name!r}. {suggest(name, known)}"
            + (f" Failed to load: {failed}." if failed else "")
        )
    return known[name]


def problems_of(registered: Registered[EstimatorSpec]) -> list[Problem]:
    """Return the problems that an estimator's plugin adds to the kit's."""
    function = registered.load("problems")
    return [] if function is None else list(function())


def _of_model(registered: Registered[ModelSpec], name: str) -> Iterator[Subject]:
    from probgen.testing.checks.registration import registration_checks
    from probgen.testing.tiny import examples_of

    registered.load()  # a class that is not where it should be is one mistake, which every check would repeat
    checks = registration_checks()
    yield Subject(name, registered, checks, _names(checks))
    for key, example in examples_of(registered).items():
        if isinstance(example, Model):  # what else is wrong with the examples is the registration's to answer for
            yield model_subject(example, name=f"{name}[{key}]")


def _of_estimator(registered: Registered[EstimatorSpec], name: str, problems: Sequence[Problem]) -> Iterator[Subject]:
    target = registered.load_class(Estimator)
    yield registration_subject(registered, name=name)
    try:
        estimator = target.build(**validate({}, registered.spec.options, owner=name))
        own = problems_of(registered)
        subject = estimator_subject(estimator, name=name, problems=own)
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything, and that is what is reported
        yield _unmade(name, error)
        return
    yield estimator_subject(estimator, name=name, problems=[*own, *problems]) if problems else subject


def _unmade(name: str, error: Exception) -> Subject:
    """Return a subject that stands for an estimator which could not be made: all its checks fail, and say why."""
    from probgen.testing.checks.estimators import estimator_checks

    def run(subject: Exception, trial: Trial) -> Iterable[Judgement]:
        raise subject

    checks = tuple(dataclasses.replace(check, run=run) for check in estimator_checks())
    return Subject(name, error, checks, _names(checks))


def _on(check: Check, problems: tuple[Problem, ...]) -> Check:
    """Return the check with further problems to hold estimators against."""

    def run(estimator: Any, trial: Trial) -> Iterable[Judgement]:
        return check.run(estimator, dataclasses.replace(trial, problems=problems))

    return dataclasses.replace(check, run=run) if problems else check


def _told_apart(subjects: Sequence[Subject]) -> list[Subject]:
    """Number the subjects that have one name."""
    counts: dict[str, int] = {}
    numbered = []
    for subject in subjects:
        counts[subject.name] = counts.get(subject.name, 0) + 1
        count = counts[subject.name]
        numbered.append(subject if count == 1 else dataclasses.replace(subject, name=f"{subject.name}#{count}"))
    return numbered


def _names(checks: Sequence[Check]) -> frozenset[str]:
    return frozenset(check.name for check in checks)

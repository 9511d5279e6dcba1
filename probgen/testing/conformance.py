"""The kit's front door: check a model, an estimator, or all that a plugin registers under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from probgen.adapters import as_model
from probgen.capabilities import require
from probgen.density import Density
from probgen.errors import ConfigurationError, suggest
from probgen.estimator import Estimator
from probgen.plugin import EstimatorSpec
from probgen.sampler import Sampler
from probgen.testing.problem import Problem
from probgen.testing.report import Report, merged
from probgen.testing.running import run_checks
from probgen.testing.subjects import Subject, model_subject, subjects_of
from probgen.testing.trial import Level

__all__ = ["ExpectedFailures", "check_density", "check_estimator", "check_model", "check_sampler", "check_subjects"]

ExpectedFailures = Mapping[str, str] | Callable[[str], Mapping[str, str]]
"""Reasons by the names of checks that are known to fail; or a function of a subject's name that returns them."""


def check_density(
    model: Any,
    *,
    level: Level | str = Level.QUICK,
    seed: int | None = None,
    only: Sequence[str] = (),
    expected_failures: ExpectedFailures | None = None,
    raising: bool = True,
) -> Report:
    """Check that a density is what it claims to be: normalised, differentiable, the same whatever the batch.

    Args:
        model: A `Density` instance, or a `torch.distributions` object. Small ones are checked exactly: give one of few
            events, or of one real entry. It is left as it was.
        level: How hard statistical checks look: `quick`, `standard` or `thorough`.
        seed: From which all draws follow; None for fresh ones in each session (see `session_entropy`).
        only: Names of the checks to run; empty for all.
        expected_failures: Reasons, by name, for the checks that it is known to fail. One that passes is a failure.
        raising: Whether to raise where the report is no pass.

    Raises:
        NonConformance: a check failed or was undecided, or none had anything to say (unless `raising` is false).
        CapabilityError: it is no density.
        ConfigurationError: the level or the name of a check is unknown.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> check_density(Bernoulli(0.3)).exit_code
        0
    """
    return _check_capability(model, Density, level, seed, only, expected_failures, raising=raising)


def check_sampler(
    model: Any,
    *,
    level: Level | str = Level.QUICK,
    seed: int | None = None,
    only: Sequence[str] = (),
    expected_failures: ExpectedFailures | None = None,
    raising: bool = True,
) -> Report:
    """Check that a sampler is what it claims to be: its draws have its shapes, support and, if it has one, its density.

    Arguments and errors are those of `check_density`.
    """
    return _check_capability(model, Sampler, level, seed, only, expected_failures, raising=raising)


def check_estimator(
    estimator: Estimator | EstimatorSpec | str,
    *,
    problems: Sequence[Problem] = (),
    level: Level | str = Level.QUICK,
    seed: int | None = None,
    only: Sequence[str] = (),
    expected_failures: ExpectedFailures | None = None,
    raising: bool = True,
) -> Report:
    """Hold an estimator's claims against problems with known answers, and check how it behaves.

    Args:
        estimator: An estimator; or a registered name or a spec, whose registration is then checked as well, by a name like
            `"elbo[registration]"`.
        problems: Problems besides the kit's own (`known_problems`) and those that the estimator is registered with.
        level: As for `check_density`, and so are the rest.
        seed: Likewise.
        only: Likewise.
        expected_failures: Likewise.
        raising: Likewise.

    Raises:
        NonConformance: a claim is false or undecided, or none could be looked at (unless `raising` is false).
        UnknownNameError: no estimator has this name.
        ConfigurationError: it is no estimator, or the level or the name of a check is unknown.
    """
    subjects = subjects_of(estimator, problems=problems)
    if not all(subject.of_estimator for subject in subjects):
        raise ConfigurationError(
            f"check_estimator: expected an estimator, its spec or its name; got {estimator!r}. Use check_model for models."
        )
    return check_subjects(subjects, level=level, seed=seed, only=only, expected_failures=expected_failures, raising=raising)


def check_model(
    model: Any,
    *,
    level: Level | str = Level.QUICK,
    seed: int | None = None,
    only: Sequence[str] = (),
    expected_failures: ExpectedFailures | None = None,
    raising: bool = True,
) -> Report:
    """Check a model by everything that it can do.

    Args:
        model: An instance; or a registered name or a spec, whose registration is then checked as well as each of its
            `examples`, under names like `"acme/rocket[small]"`.
        level: As for `check_density`, and so are the rest.
        seed: Likewise.
        only: Likewise.
        expected_failures: Likewise.
        raising: Likewise.

    Raises:
        NonConformance: a check failed or was undecided, or none had anything to say (unless `raising` is false).
        UnknownNameError: no model has this name.
        ConfigurationError: it is no model, or the level or the name of a check is unknown.
    """
    subjects = subjects_of(model)
    if any(subject.of_estimator for subject in subjects):
        raise ConfigurationError(
            f"check_model: expected a model, its spec or its name; got {model!r}. Use check_estimator for estimators."
        )
    return check_subjects(subjects, level=level, seed=seed, only=only, expected_failures=expected_failures, raising=raising)


def check_subjects(
    subjects: Sequence[Subject],
    *,
    level: Level | str = Level.QUICK,
    seed: int | None = None,
    only: Sequence[str] = (),
    expected_failures: ExpectedFailures | None = None,
    raising: bool = True,
) -> Report:
    """Run the checks of several subjects; arguments and errors are those of `check_density`."""
    chosen = as_level(level)
    known = frozenset[str]().union(*(subject.known for subject in subjects))
    _refuse_unknown(only, known, "only")
    reports = [
        run_checks(
            subject.thing,
            subject.name,
            [check for check in subject.checks if not only or check.name in only],
            level=chosen,
            entropy=seed,
            expected_failures=waivers(expected_failures, subject.name, known),
        )
        for subject in subjects
    ]
    report = merged(reports)
    return report.require() if raising else report


def as_level(level: Level | str) -> Level:
    """Return the level called `level`.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return Level(level)
    except ValueError as error:
        raise ConfigurationError(
            f"check: expected a level among {', '.join(Level)}; got {level!r}. {suggest(str(level), list(Level))}"
        ) from error


def waivers(expected: ExpectedFailures | None, subject: str, known: frozenset[str]) -> dict[str, str]:
    """Return why each check that `subject` is known to fail does so.

    Raises:
        ConfigurationError: a check is unknown, or has no reason.
    """
    reasons = dict((expected(subject) if callable(expected) else expected) or {})
    _refuse_unknown(list(reasons), known, "expected_failures")
    for check, reason in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(
                f"expected_failures: expected the reason why {check!r} fails; got {reason!r}. Say it in a sentence."
            )
    return reasons


def _check_capability(
    model: Any,
    contract: type,
    level: Level | str,
    seed: int | None,
    only: Sequence[str],
    expected_failures: ExpectedFailures | None,
    *,
    raising: bool,
) -> Report:
    require(as_model(model), contract, for_what=f"check_{contract.__name__.lower()}")
    subject = model_subject(model, about=(contract,))
    return check_subjects([subject], level=level, seed=seed, only=only, expected_failures=expected_failures, raising=raising)


def _refuse_unknown(names: Sequence[str], known: frozenset[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"check: expected in {where} names of checks; got {name!r}. {suggest(name, sorted(known))}"
            )

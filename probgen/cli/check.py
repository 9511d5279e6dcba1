"""`probgen check`: whether a model or an estimator is what it claims to be."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probgen.cli import console
from probgen.cli.targets import checked_target
from probgen.cli.versions import installed_versions
from probgen.errors import ConfigurationError, ProbgenError
from probgen.files import write_atomically
from probgen.plugin.options import parse_assignments
from probgen.plugin.records import Registered
from probgen.plugin.specs import ModelSpec

if TYPE_CHECKING:
    from probgen.testing.report import Report
    from probgen.testing.subjects import Subject

__all__ = ["check"]


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model or an estimator; `probgen list` shows them.")],
    *,
    level: Annotated[str, typer.Option(help="How hard statistical checks look: quick, standard or thorough.")] = "quick",
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Run this check alone; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every draw; a fresh one if left out.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", metavar="KEY=VALUE", help="Check the model with this option, not its examples."),
    ] = None,
    estimator_option: Annotated[
        list[str] | None, typer.Option("-e", "--estimator-option", metavar="KEY=VALUE", help="An option of the estimator.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    card: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write a card that can be published.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the card if it is there.")] = False,
) -> None:
    """Check that NAME is what it claims to be: each claim gets a verdict, and says on what it rests.

    Exit codes: 0 it conforms; 1 it does not, or nothing was checked; 2 bad input; 3 undecided.
    """
    if importlib.util.find_spec("scipy") is None:
        raise ConfigurationError(
            "check: expected the conformance kit's own dependencies; got no scipy. Run pip install 'probgen[testing]'."
        )
    if card is not None:
        checked_target(card, endings=(".md",), command="check", flag="--card", replace=force)
    from probgen.testing.conformance import as_level, check_subjects
    from probgen.testing.seeds import session_entropy
    from probgen.testing.subjects import find

    registered = find(name)
    subjects = _subjects(registered, option or [], estimator_option or [])
    chosen, entropy = as_level(level), session_entropy() if seed is None else seed
    report = check_subjects(subjects, level=chosen, seed=entropy, only=only or (), raising=False)
    words = ["probgen", "check", name, *_flags("-o", option), *_flags("-e", estimator_option)]
    whole = [*words, "--level", str(chosen), "--seed", str(entropy)]
    command, again = shlex.join(whole), shlex.join([*whole, *_flags("--only", only)])
    versions = installed_versions(registered.distribution)
    if card is not None:
        from probgen.testing.card import card as card_of

        text = card_of(
            report,
            name=name,
            level=chosen,
            seed=entropy,
            versions=versions,
            command=again,
            subjects=subjects,
        )
        write_atomically(card, text)
    if as_json:
        described = {"name": name, "kind": registered.spec.kind, "level": str(chosen), "seed": entropy, "versions": versions}
        results = [result.as_dict() for result in report.results]
        console.write_json({**described, "ran": report.ran, "exit_code": report.exit_code, "results": results})
    else:
        _show(report, command, again)
    raise typer.Exit(report.exit_code)


def _subjects(registered: Registered[Any], option: list[str], estimator_option: list[str]) -> list[Subject]:
    """Return what is checked: a model's registration and examples, an estimator's and its defaults; or it with options."""
    from probgen.plugin import build_estimator
    from probgen.testing.subjects import estimator_subject, problems_of, subjects_of

    name, is_model = registered.spec.name, isinstance(registered.spec, ModelSpec)
    if estimator_option if is_model else option:
        kind, flag, right = ("a model", "-e", "-o") if is_model else ("an estimator", "-o", "-e")
        raise ConfigurationError(f"check: expected options of {name}, {kind}; got {flag}. Give them by {right}.")
    if not (option or estimator_option):
        return subjects_of(name)
    if is_model:
        return _with_options(registered, parse_assignments(option))
    estimator = build_estimator(name, **parse_assignments(estimator_option))
    return [estimator_subject(estimator, name=name, problems=problems_of(registered))]


def _with_options(registered: Registered[ModelSpec], options: dict[str, Any]) -> list[Subject]:
    """Return the model with these options for each support that it accepts with them, on small events."""
    from probgen.supports import support_name
    from probgen.testing.subjects import model_subject
    from probgen.testing.tiny import built, supports_of

    subjects: list[Subject] = []
    refused: ProbgenError | None = None
    for support in supports_of(registered.spec):
        try:
            model, _ = built(registered, support, **options)
        except ProbgenError as error:  # options may rule out a support; not every one
            refused = error
            continue
        subjects.append(model_subject(model, name=f"{registered.spec.name}[{support_name(support)}]"))
    if not subjects and refused is not None:
        raise refused
    return subjects


def _flags(flag: str, values: list[str] | None) -> list[str]:
    return [word for value in values or () for word in (flag, value)]


def _show(report: Report, command: str, again: str) -> None:
    """Print a table of the checks, then what went wrong in full, with the commands that show each, and all, again."""
    from probgen.testing.card import HEADINGS, rows, silences
    from probgen.testing.report import Status

    if report.ran:
        console.show_table(HEADINGS, rows(report))
        console.write("")
    for (name, reason), subjects in silences(report).items():
        console.write(f"nothing to say: {name} of {', '.join(subjects)}: {reason}")
    for result in report.results:
        if result.status in (Status.FAILED, Status.UNEXPECTED_PASS, Status.INCONCLUSIVE):
            console.write(f"\n{result}\n    again: {command} --only {result.check}")
    console.write(f"{str(report).splitlines()[0]} To see it again: {again}")

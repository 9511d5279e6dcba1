"""The command itself: which commands there are, and how a run of one ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from probgen.cli import catalogue, check, compare, console, evaluate, gallery, new_plugin, sample, score, train
from probgen.errors import InterruptedRunError, ProbgenError
from probgen.plugin.manager import registry

__all__ = ["main"]

_EPILOG = (
    "Exit codes: 0 done; 1 a run or check failed; 2 bad input; 3 a check was inconclusive; 130 and 143 stopped by a signal."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `probgen` with these arguments, `sys.argv`'s when there are none, and return its exit code.

    Whatever probgen raises on purpose becomes one message on standard error; `--traceback`, anywhere, shows where it came
    from.

    Example:
        >>> code = main(["--version"])  # doctest: +ELLIPSIS
        probgen 0...
        >>> code
        0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    show_traceback = "--traceback" in given
    words = [word for word in given if word != "--traceback"]
    try:
        command = typer.main.get_command(_application(words))
        with console.plain_warnings():
            command.main(args=words, prog_name="probgen", obj={"typed": ["probgen", *given]})
    except SystemExit as finished:  # how typer ends, in success too
        return finished.code if isinstance(finished.code, int) else int(finished.code is not None)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the outermost handler: everything is reported
        if show_traceback:
            traceback.print_exception(error)
        return _explain(error, hint=not show_traceback)
    return 0


def _explain(error: BaseException, *, hint: bool) -> int:
    """Say what went wrong, and return the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        console.complain("stopped")
        return 130
    if isinstance(error, ProbgenError):
        if not (isinstance(error, InterruptedRunError) and not console.leads()):
            console.complain(str(error))
        return error.exit_code
    advice = " Run again with --traceback to see where." if hint else ""
    if isinstance(error, OSError) and error.filename is not None:
        console.complain(f"cannot use {error.filename}: {error.strerror}.{advice}")
    else:
        console.complain(f"{type(error).__name__}: {error}.{advice}")
    return 1


def _application(words: Sequence[str]) -> typer.Typer:
    """Return the application with the commands of probgen and of the plugins."""
    application = typer.Typer(
        name="probgen",
        help="Train generative models by name on real data, judge them honestly, and look at their samples.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_root)
    application.command("train")(train.train)
    application.command("sample")(sample.sample)
    application.command("score")(score.score)
    application.command("evaluate")(evaluate.evaluate)
    application.command("compare")(compare.compare)
    application.command("gallery")(gallery.gallery)
    application.command("check")(check.check)
    application.command("new-plugin")(new_plugin.new_plugin)
    application.command("list")(catalogue.list_registered)
    application.command("info")(catalogue.info)
    taken = {command.name for command in application.registered_commands}
    meant = next((word for word in words if not word.startswith("-")), "")
    for name, registered in registry().commands.items():
        if name not in taken:
            # A command's options stand in its code, which is imported only when the command is meant.
            run = registered.load() if name == meant else _listed_only
            application.command(name, help=registered.spec.summary, rich_help_panel="Commands of plugins")(run)
    return application


def _listed_only() -> None:
    """Stand in the list of commands for one that is not asked for."""


def _print_version(value: bool) -> None:  # noqa: FBT001  # typer calls it so
    if value:
        from probgen import __version__

        console.write(f"probgen {__version__}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    show_traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
) -> None:
    """Declare the options that hold for every command; `main` reads `--traceback` itself, so that it may stand anywhere."""

"""Documentation as a test: what it shows is run, what exists is documented, and what it says of itself is true.

A page is run from top to bottom in an empty folder: its Python blocks share one namespace, and the `probgen` commands of its
shell blocks run between them; what `pip install -e FOLDER` installs is found until the page ends. Files that a page includes
are a part of it. A block that cannot run is excused on the line before it, with `<!-- not run: reason -->`. A training
command that leaves its budget to the model's recipe is cut short, and judges a few examples, unless slow tests are run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import functools
import importlib
import inspect
import itertools
import json
import pkgutil
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch

import probgen
from helpers.installing import installed
from probgen.cli import main, running
from probgen.plugin import hookspecs, registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]
SHELL = ("bash", "console")
LANGUAGES = (*SHELL, "python", "toml", "json", "text", "mermaid")

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_INCLUSION = re.compile(r'^ *--8<-- "(?P<path>[^"]+)"\n', re.MULTILINE)
_EXCUSE = re.compile(r"<!-- not run: \S[^>]* -->\s*\Z")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    excused: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    included = _INCLUSION.sub(lambda found: (ROOT / found["path"]).read_text(encoding="utf-8"), text)
    return [
        Block(
            page=page,
            line=included.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            excused=_EXCUSE.search(included, 0, match.start()) is not None,
        )
        for match in _BLOCK.finditer(included)
    ]


@dataclasses.dataclass(frozen=True)
class Command:
    """One command line: settings of the environment, then words."""

    environment: dict[str, str]
    words: list[str]


def commands_of(block: Block) -> Iterator[Command]:
    """Yield the command lines of a shell block: all of them in `bash`, those after a `$` in `console`."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        environment = {}
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words:
            yield Command(environment, words)


def cut_short(words: list[str]) -> list[str]:
    """Return a command with a budget, if it trains and leaves that to the model's recipe."""
    own = {"--steps", "--epochs", "--config", "--resume"} & set(words)
    return words if words[0] != "train" or own else [*words, "--steps", "20"]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
class TestPages:
    @pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["short", "whole"])
    def test_it_runs(self, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> None:
        monkeypatch.chdir(tmp_path)
        matplotlib.use("agg")
        if not whole:
            monkeypatch.setattr(running, "evaluate", functools.partial(running.evaluate, max_examples=60))
        namespace: dict[str, Any] = {"__name__": "__main__"}
        with contextlib.ExitStack() as distributions:
            for block in blocks_of(page):
                if block.excused:
                    continue
                if block.language == "python":
                    exec(compile(block.text, str(block), "exec"), namespace)
                elif block.language in SHELL:
                    for command in commands_of(block):
                        self._run(command, block, monkeypatch, distributions, whole=whole)

    def _run(
        self,
        command: Command,
        block: Block,
        monkeypatch: pytest.MonkeyPatch,
        distributions: contextlib.ExitStack,
        *,
        whole: bool,
    ) -> None:
        program, *arguments = command.words
        if program == "pip":
            for folder in (Path(word) for flag, word in itertools.pairwise(arguments) if flag == "-e"):
                project = folder if folder.exists() else ROOT / folder
                distributions.enter_context(installed(project, Path.cwd() / "site" / folder.name))
        if program == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            targets = [word for word in arguments if "=" not in word]
            assert all(re.search(f"^{target}:", makefile, re.MULTILINE) for target in targets), f"{block}: {targets}"
        if program == "probgen":
            with monkeypatch.context() as setting:
                for name, value in command.environment.items():
                    setting.setenv(name, value)
                assert main(arguments if whole else cut_short(arguments)) == 0, f"{block}: {shlex.join(command.words)}"

    def test_its_data_can_be_read(self, page: Path) -> None:
        for block in blocks_of(page):
            assert block.language in LANGUAGES, f"{block}: say which language, one of {', '.join(LANGUAGES)}"
            if block.language == "toml":
                tomllib.loads(block.text)
            if block.language == "json" and not block.excused:
                json.loads(block.text)

    def test_its_shell_blocks_name_programs_that_exist(self, page: Path) -> None:
        known = {"probgen", "make", "pip", "python", "git", "cd", "source", "pytest", "torchrun", "mkdocs"}
        for block in blocks_of(page):
            if block.language in SHELL:
                assert {Path(command.words[0]).name for command in commands_of(block)} <= known, str(block)


def test_an_excuse_needs_a_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: it takes an hour -->\n```bash\nx\n```\n\n<!-- not run: -->\n```bash\ny\n```\n", "utf-8")
    assert [block.excused for block in blocks_of(page)] == [True, False]


def test_commands_are_told_from_their_output(tmp_path: Path) -> None:
    block = Block(tmp_path, 1, "console", "$ A=1 probgen list \\\n    plugins  # why\nprobgen-latent 0.1\n", excused=False)
    assert list(commands_of(block)) == [Command({"A": "1"}, ["probgen", "list", "plugins"])]


def test_only_a_recipe_is_cut_short() -> None:
    assert cut_short(["train", "flows/maf"]) == ["train", "flows/maf", "--steps", "20"]
    assert cut_short(["train", "flows/maf", "--epochs", "1"]) == ["train", "flows/maf", "--epochs", "1"]
    assert cut_short(["list", "models"]) == ["list", "models"]


# ----------------------------------------------------------------------------------------------------------- docstrings


def modules() -> list[str]:
    """Return every module of the core and of our plugins."""
    packages = ["probgen", *(path.name for path in sorted(ROOT.glob("plugins/*/src/*")))]
    found = []
    for name in packages:
        package = importlib.import_module(name)
        found += [name, *(info.name for info in pkgutil.walk_packages(package.__path__, f"{name}."))]
    return [name for name in found if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


# ------------------------------------------------------------------------------------------- what exists is documented


def reference() -> set[str]:
    """Return what the API reference documents: the identifiers after `:::`."""
    pages = (ROOT / "docs" / "reference").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


def test_every_public_name_is_in_the_reference() -> None:
    documented = reference()
    missing = {
        name
        for name in probgen.__all__
        if name != "__version__"
        and not any(f"{home}.".startswith(f"{page}.") for home in [getattr(probgen, name).__module__] for page in documented)
    }
    assert not missing


def test_the_table_of_estimators_is_what_they_claim() -> None:
    page = (ROOT / "docs" / "concepts" / "estimators.md").read_text(encoding="utf-8")
    script = runpy.run_path(str(ROOT / "docs" / "_support" / "estimators.py"))
    assert script["table"]() in page, "run python docs/_support/estimators.py"


def test_the_reference_documents_what_exists() -> None:
    for name in reference():
        module, _, attribute = name.rpartition(".")
        assert name in modules() or hasattr(importlib.import_module(module), attribute), name


def hooks() -> list[str]:
    """Return the name and exact signature of each hook."""
    functions = [function for name, function in vars(hookspecs).items() if name.startswith("probgen_")]
    return [f"{function.__name__}{inspect.signature(function)}".replace("'", "") for function in functions]


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_is_documented_with_its_signature(hook: str) -> None:
    assert f"### `{hook}`" in (ROOT / "docs" / "concepts" / "plugins.md").read_text(encoding="utf-8")


def test_every_registered_name_is_documented() -> None:
    known = registry()
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for kind in (known.models, known.estimators, known.datasets) for name in kind if f"`{name}`" not in text]
    assert not missing


def status_rows() -> dict[str, str]:
    """Return the names in the status tables, each with its state."""
    text = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    return {name: row[1] for row in rows for name in re.findall(r"`([\w+/-]+)`", row[0])}


def test_the_status_page_tells_the_truth() -> None:
    built = {name for name, state in status_rows().items() if state != "not yet"}
    assert built == set(registry().models)


def test_the_site_shows_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in text] == []

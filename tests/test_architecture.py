"""The shape of the code itself: which way imports point, how long files are, and what may not be written anywhere.

Every rule reads the source with `ast`, so imports inside functions and under `TYPE_CHECKING` count too. Exceptions stand in
tables here, each with its reason; an exception that is no longer needed fails as well.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "probgen"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*/"))

CONTRACTS = (
    *("density", "sampler", "dynamics", "capabilities", "latent", "batch", "claims", "estimator"),
    *("adapters", "pyro_bridge", "pyro_pair"),
)
LEVELS: dict[str, int] = {
    **dict.fromkeys(("errors", "files", "lazy", "shapes", "streams", "supports"), 0),
    **dict.fromkeys(CONTRACTS, 1),
    **dict.fromkeys(("draws", "nn", "estimators", "compose", "plugin", "data", "execution"), 2),
    **dict.fromkeys(("training", "evaluation"), 3),
    "testing": 4,
    "report": 5,
    "cli": 6,
}
"""Who may import whom: a part of the core imports its own level and those below."""

UPWARD: dict[tuple[str, str], str] = {}
"""Imports that point up, (importer, imported) to reason."""

LONG_FILES: dict[str, str] = {}
"""Files over 500 lines, path to reason."""

LAYERED = {
    "training": "the trainer",
    "plugin": "the registry",
    "evaluation": "evaluation",
    "report": "the report",
    "cli": "the shell",
}
"""Parts that serve every model and estimator, and so may name none of them."""

BUILT_IN_SPECS = "probgen/plugin/builtin.py"
"""The one file below `plugin` that names estimators and data sets: the core's own registrations."""

MEETING_POINTS = {"adapters", "pyro_bridge", "pyro_pair"}
"""The contracts' side of Pyro, which loads it."""

PUBLIC_FACE = "probgen"

IMPORT_NAMES = {"pillow": "PIL", "pyro-ppl": "pyro", "scikit-learn": "sklearn"}
"""What a distribution is imported as, where that is not its own name."""


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module, where it stands, and when it happens."""

    importer: str
    imported: str
    name: str
    line: int
    deferred: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@dataclasses.dataclass(frozen=True)
class Source:
    """A Python file of the core or of a plugin."""

    path: Path
    package_root: Path

    @property
    def label(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        parts = self.path.relative_to(self.package_root.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def public(self) -> bool:
        return not any(part.startswith("_") for part in self.module.split("."))

    def imports(self) -> Iterator[Import]:
        """Yield every import; `deferred` means that it does not happen when the module is imported."""
        yield from self._imports(self.tree, deferred=False)

    def _imports(self, node: ast.AST, *, deferred: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(self.module, alias.name, "", child.lineno, deferred)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    yield Import(self.module, self._absolute(child), alias.name, child.lineno, deferred)
            else:
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(child)
                yield from self._imports(child, deferred=deferred or later)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".") if self.path.stem == "__init__" else self.module.split(".")[:-1]
        parts = package[: len(package) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def sources(*roots: Path) -> list[Source]:
    """Return every Python file of the given packages."""
    return [Source(path, root) for root in roots for path in sorted(root.rglob("*.py"))]


CORE_SOURCES = sources(CORE)
PLUGIN_SOURCES = sources(*PLUGINS)
ALL_SOURCES = CORE_SOURCES + PLUGIN_SOURCES


def part_of(module: str) -> str:
    """Return the part of the core that a module belongs to: `probgen.training.trainer` is `training`."""
    return module.removeprefix("probgen").lstrip(".").split(".")[0]


def imported_part(found: Import) -> str:
    """Return the part that an import of the core reaches, looking through `from probgen import x`."""
    return part_of(found.imported) or found.name


def core_imports() -> list[Import]:
    """Return the core's imports of itself, but for the public face, which names everything lazily."""
    return [
        found
        for source in CORE_SOURCES
        if source.module != PUBLIC_FACE
        for found in source.imports()
        if found.imported.split(".")[0] == "probgen"
    ]


class TestImports:
    def test_every_part_of_the_core_has_a_level(self) -> None:
        parts = {part_of(source.module) for source in CORE_SOURCES} - {"", "__main__"}
        assert parts <= set(LEVELS), f"give {sorted(parts - set(LEVELS))} a level in LEVELS"

    def test_they_point_down(self) -> None:
        upward = {
            (found.importer, found.imported): str(found)
            for found in core_imports()
            if imported_part(found) in LEVELS
            and part_of(found.importer) in LEVELS
            and LEVELS[imported_part(found)] > LEVELS[part_of(found.importer)]
        }
        wrong = [text for pair, text in upward.items() if pair not in UPWARD]
        assert not wrong, "\n".join(wrong)
        assert set(UPWARD) <= set(upward), "an exception in UPWARD is no longer needed"

    def test_the_core_does_not_import_its_own_face(self) -> None:
        wrong = [str(f) for f in core_imports() if f.imported == "probgen" and f.name not in {"", "__version__", *LEVELS}]
        wrong += [
            f"{source.module}:{node.lineno} uses probgen.{node.attr}"
            for source in CORE_SOURCES
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "probgen" and node.attr != "__version__"
        ]
        assert not wrong, "\n".join(wrong)

    def test_they_make_no_circle(self) -> None:
        modules = {source.module for source in CORE_SOURCES}
        arrows: dict[str, set[str]] = {module: set() for module in modules}
        for found in core_imports():
            target = f"{found.imported}.{found.name}" if f"{found.imported}.{found.name}" in modules else found.imported
            if not found.deferred and target in modules - {"probgen"} and not found.importer.startswith(f"{target}."):
                arrows[found.importer].add(target)
        circle = _circle(arrows)
        assert circle is None, " -> ".join(circle or [])

    def test_only_the_bridge_imports_pyro(self) -> None:
        """But for the kit, whose problems and wrong twins are programs as users write them."""
        importers = {
            part_of(source.module)
            for source in CORE_SOURCES
            for found in source.imports()
            if found.imported.split(".")[0] == "pyro" and not (source.module == "probgen.density" and found.deferred)
        }
        assert importers <= {"pyro_bridge", "testing"}, f"{sorted(importers)}: Pyro is reached through probgen.pyro_bridge"

    def test_the_core_names_no_plugin(self) -> None:
        names = {root.name for root in PLUGINS}
        wrong = [source.label for source in CORE_SOURCES if any(name in source.text for name in names)]
        assert not wrong

    def test_plugins_do_not_import_each_other(self) -> None:
        names = {root.name for root in PLUGINS}
        wrong = [
            str(found)
            for source in PLUGIN_SOURCES
            for found in source.imports()
            if found.imported.split(".")[0] in names - {source.package_root.name}
        ]
        assert not wrong, "\n".join(wrong)

    def test_plugins_import_public_names_only(self) -> None:
        wrong = [
            f"{found} ({found.name})"
            for source in PLUGIN_SOURCES
            for found in source.imports()
            if found.imported.split(".")[0] == "probgen"
            and any(part.startswith("_") for part in [*found.imported.split("."), found.name])
        ]
        assert not wrong, "\n".join(wrong)

    def test_a_name_of_the_face_is_not_a_modules_name(self) -> None:
        import probgen

        modules = {path.stem for path in CORE.iterdir()}
        assert not modules & set(probgen.__all__), "importing the module would hide the name"


def _circle(arrows: dict[str, set[str]]) -> list[str] | None:
    """Return a path that ends where it began, or None."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for target in sorted(arrows[module]):
            if circle := walk(target, [*path, module]):
                return circle
        done.add(module)
        return None

    return next((circle for module in sorted(arrows) if (circle := walk(module, []))), None)


def test_a_circle_would_be_seen() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


LIGHT = ["probgen", "probgen.errors", "probgen.plugin", "probgen.cli", *(f"{root.name}.plugin" for root in PLUGINS)]
HEAVY = ["torch", "pyro", "numpy", "scipy", "sklearn", "matplotlib"]


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_shell_needs_to_list_and_help_is_light(module: str) -> None:
    program = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert not run.stdout.split()


def test_the_contracts_do_not_load_pyro() -> None:
    contracts = [name for name in CONTRACTS if name not in MEETING_POINTS]
    program = f"import sys; {'; '.join(f'import probgen.{name}' for name in contracts)}; sys.exit('pyro' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr


class TestFamilies:
    """The trainer, the registry and all that serves every model know none of them by name."""

    @pytest.mark.parametrize("source", [s for s in CORE_SOURCES if part_of(s.module) in LAYERED], ids=lambda s: s.label)
    def test_no_estimator_is_imported(self, source: Source) -> None:
        wrong = [str(found) for found in source.imports() if imported_part(found) == "estimators"]
        assert not wrong, f"{LAYERED[part_of(source.module)]} serves every estimator: {wrong}"

    @pytest.mark.parametrize("source", [s for s in CORE_SOURCES if part_of(s.module) in LAYERED], ids=lambda s: s.label)
    def test_no_model_or_estimator_is_named(self, source: Source) -> None:
        named = families() & words(source.tree)
        assert not named or source.label == BUILT_IN_SPECS, f"{LAYERED[part_of(source.module)]} names {sorted(named)}"

    @pytest.mark.parametrize("source", CORE_SOURCES, ids=lambda s: s.label)
    def test_no_registered_model_is_named(self, source: Source) -> None:
        prefixes = tuple(f"{name}/" for project in plugin_projects() for name in project["entry-points"]["probgen"])
        assert not [text for text in strings(source.tree) if text.startswith(prefixes)]


def plugin_projects() -> list[dict[str, Any]]:
    """Return the `[project]` tables of our plugins."""
    files = [root.parents[1] / "pyproject.toml" for root in PLUGINS]
    return [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in files]


@functools.cache
def families() -> frozenset[str]:
    """Return the class names of our models and estimators."""
    files = [s for s in PLUGIN_SOURCES if s.path.name != "__init__.py"]
    files += [s for s in CORE_SOURCES if part_of(s.module) == "estimators"]
    return frozenset(
        node.name
        for source in files
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


def words(tree: ast.Module) -> set[str]:
    """Return the identifiers and the strings of a module that are not docstrings."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | set(strings(tree))


def strings(tree: ast.Module) -> Iterator[str]:
    """Yield string constants that are not docstrings."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


@pytest.mark.parametrize("source", ALL_SOURCES, ids=lambda source: source.label)
class TestFiles:
    def test_size(self, source: Source) -> None:
        lines = source.text.count("\n")
        limit = 300 if part_of(source.module) in CONTRACTS and source in CORE_SOURCES else 500
        assert lines <= limit or source.label in LONG_FILES, f"{lines} lines, more than {limit}: split it by noun"
        assert lines > limit or source.label not in LONG_FILES, "it is short by now: take it out of LONG_FILES"

    def test_it_says_what_it_exports(self, source: Source) -> None:
        targets = {
            target.id
            for node in source.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        exports_nothing = source.path.stem == "__main__" or not source.tree.body[1:]
        assert exports_nothing or "__all__" in targets

    def test_it_says_what_it_is_for(self, source: Source) -> None:
        missing = [] if ast.get_docstring(source.tree) else [source.module]
        missing += [
            f"{source.module}.{name}" for name, node in public_definitions(source.tree) if not ast.get_docstring(node)
        ]
        assert not missing, f"no docstring: {missing}"

    def test_user_input_is_never_asserted(self, source: Source) -> None:
        lines = [node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Assert)]
        assert not lines, f"assert in lines {lines}: raise a leaf of probgen.errors"

    def test_nothing_is_unpickled(self, source: Source) -> None:
        imported = {found.imported.split(".")[0] for found in source.imports()}
        assert not imported & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
        assert "torch.load" not in {ast.unparse(call.func) for call in calls}
        for call in calls:
            if ast.unparse(call.func) in ("np.load", "numpy.load"):
                assert {"allow_pickle": False}.items() <= {
                    keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords
                }.items(), f"line {call.lineno}: say allow_pickle=False"


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Yield the public functions and classes; ruff looks after methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node


def test_every_plugin_is_a_distribution_of_the_entry_point_group() -> None:
    for root, project in zip(PLUGINS, plugin_projects(), strict=True):
        assert list(project["entry-points"]) == ["probgen"]
        assert project["license"] == "Apache-2.0"
        assert (root.parents[1] / project["readme"]).exists()


def test_versions_agree() -> None:
    import probgen

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == probgen.__version__
    assert f"## {probgen.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_development_versions_are_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert "torch==2.13.0" in (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]
    known = {name.lower().replace("_", "-") for name in pins} | {"probgen"}
    for need in [*project["dependencies"], *extras]:
        assert need.split(">")[0].split("[")[0].lower() in known


def test_dependencies_are_what_the_core_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    always, testing = (
        {IMPORT_NAMES.get(name, name) for name in (need.split(">")[0] for need in needs)}
        for needs in (project["dependencies"], project["optional-dependencies"]["testing"])
    )
    kit = [source for source in CORE_SOURCES if part_of(source.module) == "testing"]
    assert third_party([source for source in CORE_SOURCES if source not in kit]) == always
    assert third_party(kit) <= always | testing


def third_party(modules: list[Source]) -> set[str]:
    """Return the packages that the modules import and that are neither ours nor Python's."""
    imported = {found.imported.split(".")[0] for source in modules for found in source.imports()}
    return imported - set(sys.stdlib_module_names) - {"probgen"}

"""What the registry knows: each registered thing with where it came from, each plugin, and each plugin's problems."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import Any, Generic, Literal, TypeVar

from probgen.errors import PluginLoadError, suggest
from probgen.plugin.specs import Spec

__all__ = ["PluginInfo", "PluginProblem", "Registered"]

SpecType = TypeVar("SpecType", bound=Spec, covariant=True)
Contract = TypeVar("Contract")


@dataclasses.dataclass(frozen=True)
class PluginProblem:
    """Something wrong with a plugin. It cost the plugin what was wrong, and no other plugin anything.

    Args:
        plugin: The name of its entry point.
        distribution: The installed distribution that declares it; empty where none does.
        version: The distribution's version.
        reason: What went wrong, in one line.

    Example:
        >>> str(PluginProblem("gan", "probgen-gan", "0.1", "ImportError: no module named 'torchgan'"))
        "probgen-gan 0.1 (ImportError: no module named 'torchgan')"
    """

    plugin: str
    distribution: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.distribution or self.plugin} {self.version}".strip() + f" ({self.reason})"


@dataclasses.dataclass(frozen=True)
class PluginInfo:
    """A plugin as `probgen list plugins` shows it.

    Args:
        name: The name of its entry point.
        distribution: The installed distribution that declares it; empty where none does.
        version: The distribution's version.
        models: Names of the models that it registered; likewise the next four.
        estimators: Of estimators.
        data: Of data sets.
        metrics: Of metrics.
        commands: Of commands.
        hooks: Names of the hooks that it implements.
        problems: What went wrong with it.
    """

    name: str
    distribution: str
    version: str
    models: tuple[str, ...] = ()
    estimators: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    problems: tuple[PluginProblem, ...] = ()


@dataclasses.dataclass(frozen=True)
class Registered(Generic[SpecType]):
    """A spec with the plugin that registered it.

    Args:
        spec: What was registered.
        plugin: The name of the plugin's entry point.
        distribution: The installed distribution that declares it.
        version: The distribution's version.
    """

    spec: SpecType
    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """The distribution and its version: `probgen-flows 0.1`."""
        return f"{self.distribution} {self.version}"

    def load(self, field: Literal["target", "recipe", "examples", "problems"] = "target") -> Any:
        """Import and return what the import string in `field` names; None where the spec leaves it empty.

        Raises:
            PluginLoadError: the import fails; the message names the plugin's distribution.
        """
        import_string = getattr(self.spec, field)
        if not import_string:
            return None
        module, _, path = import_string.partition(":")
        try:
            value: Any = importlib.import_module(module)
            for attribute in path.split("."):
                value = getattr(value, attribute)
        except Exception as error:  # whatever a plugin's module raises is the plugin's trouble, and is said to be
            raise PluginLoadError(
                f"{self.spec.name} ({self.origin}): expected its {field} at {import_string!r}; "
                f"got {type(error).__name__}: {error}. {self._cure(error, module, field)}"
            ) from error
        return value

    def _cure(self, error: Exception, module: str, field: str) -> str:
        """Return what helps against an import that failed: another spelling, where the spec may have the wrong one."""
        if isinstance(error, AttributeError) and error.name and error.obj is sys.modules.get(module):
            own = [name for name, value in vars(error.obj).items() if getattr(value, "__module__", None) == module]
            return f"{suggest(error.name, own)} Correct {field} in the spec."
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            return f"Correct {field} in the spec, or reinstall {self.distribution}."
        return f"Reinstall or update {self.distribution}."

    def load_class(self, contract: type[Contract]) -> type[Contract]:
        """Import and return the target, which is to be a class that fulfils `contract`.

        Raises:
            PluginLoadError: the import fails, or the target is something else.
        """
        target = self.load()
        if isinstance(target, type) and issubclass(target, contract):
            return target
        raise PluginLoadError(
            f"{self.spec.name} ({self.origin}): expected its target {self.spec.target!r} to be a subclass of "
            f"{contract.__name__}; got {target!r}. Update {self.distribution}, or report this to its authors."
        )

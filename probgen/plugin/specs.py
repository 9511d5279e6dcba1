"""What a plugin registers: plain data, so that everything can be listed without importing torch.

A spec never holds the thing itself but where it is: an import string `"package.module:attribute"`, imported on first use.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from probgen.errors import PluginLoadError
from probgen.plugin.schema import Option

__all__ = [
    "SUPPORT_NAMES",
    "CommandSpec",
    "DataSpec",
    "EstimatorSpec",
    "MetricSpec",
    "ModelSpec",
    "Option",
    "Spec",
]

SUPPORT_NAMES = ("binary", "categorical", "count", "positive", "real", "unit-interval")
"""The names of `probgen.supports`, repeated here because that module needs torch."""

_KEBAB = r"[a-z0-9]+(-[a-z0-9]+)*"
_IMPORT_STRING = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclasses.dataclass(frozen=True)
class Spec:
    """What every registered thing has.

    Args:
        name: What people type, in kebab-case.
        summary: What it is, in one line.
        target: Import string of the thing itself.

    Raises:
        PluginLoadError: a field is malformed; the message says which and how.
    """

    kind: ClassVar[str] = "thing"
    _name_pattern: ClassVar[str] = _KEBAB
    _name_example: ClassVar[str] = "bars-and-stripes"
    _name_remedy: ClassVar[str] = "Use lower case, digits and hyphens"

    name: str
    summary: str
    target: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(self._name_pattern, self.name):
            self._refuse(f"a name like {self._name_example!r}", self.name, self._name_remedy)
        if not isinstance(self.summary, str) or not self.summary.strip() or "\n" in self.summary:
            self._refuse("a summary of one line", self.summary, "Say in one line what it is")
        self._check_import_string("target", required=True)
        self._check_options()

    def _check_import_string(self, field: str, *, required: bool = False) -> None:
        value = getattr(self, field)
        if not isinstance(value, str) or not (_IMPORT_STRING.fullmatch(value) or (value == "" and not required)):
            self._refuse(f"{field} to be an import string", value, "Write it as 'package.module:attribute'")

    def _check_options(self) -> None:
        """Turn `options`, where the spec has them, into a tuple of `Option`s with different names."""
        if "options" not in {field.name for field in dataclasses.fields(self)}:
            return
        options = self._as_tuple("options")
        strangers = [option for option in options if not isinstance(option, Option)]
        if strangers:
            self._refuse("options that are all an Option", strangers[0], "Wrap it in probgen.plugin.Option")
        names = [option.name for option in options]
        if len(set(names)) != len(names):
            self._refuse("options with different names", names, "Rename one")

    def _as_tuple(self, field: str) -> tuple[Any, ...]:
        value = getattr(self, field)
        if not isinstance(value, list | tuple):
            self._refuse(f"{field} to be a list or tuple", value, "Put it in brackets")
        object.__setattr__(self, field, tuple(value))
        return getattr(self, field)

    def _refuse(self, expected: str, actual: Any, remedy: str) -> NoReturn:
        raise PluginLoadError(f"{type(self).__name__} {self.name!r}: expected {expected}; got {actual!r}. {remedy}.")


@dataclasses.dataclass(frozen=True)
class ModelSpec(Spec):
    """A model that can be built by name.

    Args:
        name: `"family/model"`, in kebab-case: `"flows/maf"`; the model's own name may end in plus signs, as PixelCNN++ does.
        summary: What it is, in one line.
        target: Import string of the class, a `probgen.Model`; `probgen.build` calls its `build`.
        options: What can be set about it. Sizes that the data or the outer model know are no options.
        supports: Names of the supports that it accepts, preferred ones first; empty for any.
        views: Names of the views of the data that it prefers, best first; empty to leave the choice to the data.
        reference: The paper.
        recipe: Import string of a function of the model that returns its `Recipe`, how it is trained; or empty.
        examples: Import string of a function that returns tiny instances for the conformance kit to run; or empty.

    Raises:
        PluginLoadError: a field is malformed; the message says which and how.

    Example:
        >>> ModelSpec("acme/rocket", "Normal coordinates.", "probgen_acme.rocket:Rocket", supports=["real"]).supports
        ('real',)
    """

    kind: ClassVar[str] = "model"
    _name_pattern: ClassVar[str] = rf"{_KEBAB}/{_KEBAB}\+*"
    _name_example: ClassVar[str] = "family/model"
    _name_remedy: ClassVar[str] = "Use lower case, digits and hyphens, and plus signs only at the end"

    _: dataclasses.KW_ONLY
    options: Sequence[Option] = ()
    supports: Sequence[str] = ()
    views: Sequence[str] = ()
    reference: str = ""
    recipe: str = ""
    examples: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._as_tuple("views")
        unknown = [support for support in self._as_tuple("supports") if support not in SUPPORT_NAMES]
        if unknown:
            self._refuse(f"supports among {', '.join(SUPPORT_NAMES)}", unknown[0], "Use the names of probgen.supports")
        self._check_import_string("recipe")
        self._check_import_string("examples")


@dataclasses.dataclass(frozen=True)
class EstimatorSpec(Spec):
    """An estimator that can be chosen by name; the name is that of its class in kebab-case.

    Args:
        name: `"maximum-likelihood"`.
        summary: What it estimates, in one line.
        target: Import string of the class, a `probgen.Estimator`, whose `build` is called with the options as keywords.
        options: What can be set about it.
        reference: The paper.
        problems: Import string of a function that returns further `probgen.testing.Problem`s for the conformance kit to hold
            the estimator's claims against; or empty.

    Raises:
        PluginLoadError: a field is malformed; the message says which and how.
    """

    kind: ClassVar[str] = "estimator"
    _name_example: ClassVar[str] = "maximum-likelihood"

    options: Sequence[Option] = ()
    reference: str = ""
    problems: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_import_string("problems")


@dataclasses.dataclass(frozen=True)
class DataSpec(Spec):
    """A data set that can be named.

    Args:
        name: `"bars-and-stripes"`.
        summary: What it holds, in one line.
        target: Import string of a function that returns a data source, called with the options as keywords.
        options: What can be set about it.
    """

    kind: ClassVar[str] = "data set"

    options: Sequence[Option] = ()


@dataclasses.dataclass(frozen=True)
class MetricSpec(Spec):
    """A metric that `probgen.evaluate` can be asked for.

    Args:
        name: `"frechet-distance"`.
        summary: What it measures, in one line.
        target: Import string of the function.
        options: What can be set about it.
        reference: The paper.
    """

    kind: ClassVar[str] = "metric"
    _name_example: ClassVar[str] = "frechet-distance"

    options: Sequence[Option] = ()
    reference: str = ""


@dataclasses.dataclass(frozen=True)
class CommandSpec(Spec):
    """A further command of `probgen` at the shell.

    Args:
        name: `"export-onnx"`: what stands behind `probgen`.
        summary: Its line in the help.
        target: Import string of a function that typer can run.
    """

    kind: ClassVar[str] = "command"
    _name_example: ClassVar[str] = "export-onnx"

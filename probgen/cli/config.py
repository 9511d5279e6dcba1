"""The configuration of a run: everything that was asked for, checked and written down before torch is imported."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from probgen.cli.settings import TRAINING, reading_options
from probgen.cli.versions import installed_versions
from probgen.errors import CheckpointError, ConfigurationError
from probgen.files import read_json, write_json
from probgen.plugin.manager import registry
from probgen.plugin.options import plain, validate

__all__ = ["CONFIG_FILE", "RunConfig", "made_in_python", "usable_cores"]

CONFIG_FILE = "config.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run does. `config.json` in its folder is this, so that a run can be repeated, and resumed, from its folder.

    Args:
        model: The model's registered name.
        model_options: All its options; JSON values.
        data: The source's name or path.
        data_options: How the data are read; JSON values.
        view: The view of the data by name; None for the one that the model prefers.
        context: What the model is conditioned on; None for nothing.
        estimator: The estimator's registered name; None for the recipe's.
        stage: The stage of the recipe whose estimator it is; None where the recipe has one.
        estimator_options: All options of a named estimator; for the recipe's own, those that were given.
        training: Every setting of `probgen.cli.settings.TRAINING`.
        command: What was typed.
        created: When, in ISO 8601.
        versions: Versions of Python, probgen, the model's plugin and what computes.
        stages: What each stage really uses, the recipe's own choices among it: see `probgen.cli.stages`. It is noted once
            the model is there; a run goes by the fields above, and folders of older runs lack it.

    Raises:
        ConfigurationError: an option is unknown or invalid.
        UnknownNameError: nothing registers the model or the estimator.
    """

    model: str
    data: str
    model_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    view: str | None = None
    context: str | None = None
    estimator: str | None = None
    stage: str | None = None
    estimator_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""
    created: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def checked(cls, *, training: Mapping[str, Any], **fields: Any) -> Self:
        """Return the configuration of a new run, its options checked and completed with their defaults."""
        asked = cls(training=training, **fields)
        model = registry().model(asked.model)
        options = validate(asked.model_options, model.spec.options, owner=asked.model)
        settings = _complete(training)
        if settings["steps"] is not None and settings["epochs"] is not None:
            raise ConfigurationError("train: expected steps or epochs; got both. Leave one out.")
        estimator_options = asked.estimator_options
        if asked.estimator is not None:
            known = registry().estimator(asked.estimator).spec.options
            estimator_options = plain(validate(estimator_options, known, owner=asked.estimator))
        return dataclasses.replace(
            asked,
            model_options=plain(options),
            data=_findable_again(asked.data),
            data_options=reading_options(asked.data, asked.data_options),
            estimator_options=estimator_options,
            training=settings,
            created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            versions=installed_versions(model.distribution),
        )

    def write(self, folder: Path) -> None:
        """Write the configuration to `folder`, atomically."""
        write_json(folder / CONFIG_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the configuration of the run in `folder`.

        Raises:
            CheckpointError: there is no run, or its configuration was altered.
        """
        if not folder.is_dir():
            raise CheckpointError(f"probgen: expected a run folder; got {folder}, which does not exist. Check the path.")
        path = folder / CONFIG_FILE
        if not path.exists():
            if made_in_python(folder):
                raise CheckpointError(
                    f"probgen: expected a run that `probgen train` made; got {folder}, which probgen.fit made in Python and "
                    f"which has no {CONFIG_FILE}. Go on there: probgen.load, probgen.evaluate, or fit with resume=True."
                )
            raise CheckpointError(
                f"probgen: expected a run in {folder}; got a folder without {CONFIG_FILE}. `probgen train` makes runs."
            )
        try:
            config = cls(**read_json(path))
            config._check_types()
            return dataclasses.replace(config, training=_complete(config.training))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"probgen: expected the configuration of a run in {path}; got {error}. Restore it from a copy."
            ) from error

    def does_as(self, other: RunConfig) -> bool:
        """Whether another run does the same as this one: both have the same model, data, estimator and settings.

        Threads may differ: they change no more than how sums are rounded.
        """
        return self._asked() == other._asked()

    def _asked(self) -> dict[str, Any]:
        noted = ("command", "created", "versions", "stages")
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in noted}
        return {**asked, "training": {name: value for name, value in self.training.items() if name != "threads"}}

    def _check_types(self) -> None:
        for field in ("model_options", "data_options", "estimator_options", "training", "versions"):
            if not isinstance(getattr(self, field), dict):
                raise TypeError(f"no object under {field!r}")
        if not isinstance(self.stages, list | tuple):
            raise TypeError("no list under 'stages'")
        if not isinstance(self.model, str) or not isinstance(self.data, str):
            raise TypeError("no name under 'model' or 'data'")


def made_in_python(folder: Path) -> bool:
    """Whether `folder` holds a run, or a model, of which no command knows how it was made."""
    made = any((folder / name).exists() for name in ("checkpoints", "metrics.csv", "model.json"))
    return made and not (folder / CONFIG_FILE).exists()


def _complete(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting of training, checked, with the number of threads that is meant where none is given."""
    settings = validate(training, TRAINING, owner="train")
    return {**settings, "threads": settings["threads"] or _threads()}


def _threads() -> int:
    """Return how many threads a run computes with unless told: as `OMP_NUM_THREADS` says, or one for each usable core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else usable_cores()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux says which
        return os.cpu_count() or 1


def _findable_again(data: str) -> str:
    """Return a path so that it is found from any folder; a registered name stays a name."""
    path = Path(data).expanduser()
    return str(path.resolve()) if data not in registry().datasets and path.exists() else data

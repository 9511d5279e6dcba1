"""What can be set about training and about reading data, as options: a file and the shell are checked by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from probgen.plugin.manager import registry
from probgen.plugin.options import plain, validate
from probgen.plugin.specs import Option

__all__ = ["READING", "TRAINING", "reading_options"]

TRAINING = (
    Option("steps", "int", None, "Steps in each stage; the recipe's when left out.", minimum=1),
    Option("epochs", "float", None, "Passes through the training data in each stage, instead of steps.", above=0),
    Option("batch_size", "int", None, "Examples in a batch; the recipe's when left out.", minimum=1),
    Option("learning_rate", "float", None, "Step size; the recipe's when left out.", above=0),
    Option(
        "schedule",
        "str",
        None,
        "The learning rate over a stage; the recipe's when left out.",
        choices=("constant", "cosine", "linear", "steps"),
    ),
    Option("clip_norm", "float", None, "Largest norm of a gradient; the recipe's when left out.", above=0),
    Option("ema", "float", None, "Decay of a moving average of the weights, which is then the result.", minimum=0, below=1),
    Option("patience", "int", None, "Stop after so many validations without improvement.", minimum=1),
    Option("validate_every", "int", None, "Steps between validations; about an epoch when left out.", minimum=1),
    Option("checkpoint_every", "int", None, "Steps between checkpoints; about an epoch when left out.", minimum=1),
    Option("log_every", "int", None, "Steps between rows of metrics.", minimum=1),
    Option("seed", "int", 0, "Seed of everything random."),
    Option("device", "str", "auto", "auto, cpu, cuda, cuda:1 or mps."),
    Option("precision", "str", "float32", "Arithmetic of the model.", choices=("float32", "bfloat16")),
    Option(
        "execution",
        "str",
        "auto",
        "How steps are run: as written, as a recorded graph, or compiled.",
        choices=("auto", "eager", "graph", "inductor"),
    ),
    Option("threads", "int", None, "Processor threads; all that there are when left out.", minimum=1),
)
"""The settings of training."""

READING = (
    Option(
        "kind",
        "str",
        None,
        "What the values are, where it is not recognised.",
        choices=("binary", "levels", "count", "real"),
    ),
    Option("image", "bool", None, "Whether events are pictures, where it is not recognised."),
    Option("label", "str", None, "Column of a table that holds the class of each row."),
    Option("fold", "int", 0, "Fold of an archive that is the test split.", minimum=0),
    Option("seed", "int", 0, "Seed of the random split; not that of the run."),
)
"""How files are read; a registered data set has options of its own."""


def reading_options(data: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given for reading `data`, converted to their types; JSON values.

    Args:
        data: A registered name or a path.
        given: Options by name, as text or as values.

    Raises:
        ConfigurationError: an option is unknown or invalid.
    """
    datasets = registry().datasets
    known = datasets[data].spec.options if data in datasets else READING
    checked = validate(given, known, owner=data)
    return {name: plain(checked[name]) for name in given}

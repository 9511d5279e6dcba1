"""Which estimators fit which models, asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from probgen.capabilities import capabilities
from probgen.claims import Exact, LowerBound
from probgen.errors import CapabilityError, PluginLoadError
from probgen.estimator import Estimator
from probgen.plugin.manager import registry
from probgen.shapes import Model

__all__ = ["check_fit", "default_estimator", "describe_capabilities", "estimators_that_fit"]


def check_fit(estimator: Estimator, model: Any) -> None:
    """Check that `model` can do what `estimator` needs.

    Raises:
        CapabilityError: it cannot; the message says what is needed, what the model is, and which estimators fit it.
    """
    held = capabilities(model)
    missing = [contract for contract in estimator.requires if contract not in held]
    if not missing:
        return
    name = model.provenance.name if isinstance(model, Model) and model.provenance is not None else type(model).__name__
    fitting = ", ".join(estimators_that_fit(model)) or "none that is installed"
    raise CapabilityError(
        f"{type(estimator).__name__} needs {describe_capabilities(missing)}; {name} is "
        f"{describe_capabilities(held) if held else 'no model of probgen'}. Estimators that fit it: {fitting}."
    )


def estimators_that_fit(model: Any) -> list[str]:
    """Return the names of the registered estimators whose needs `model` fulfils, in alphabetical order."""
    held = capabilities(model)
    fitting = []
    for name, registered in registry().estimators.items():
        try:
            needed = registered.load_class(Estimator).requires
        except PluginLoadError:  # one that cannot be loaded fits nothing; asking for it by name says what is wrong
            continue
        if held and held.issuperset(needed):
            fitting.append(name)
    return fitting


def default_estimator(model: Any) -> Estimator | None:
    """Return the estimator for a model that comes without a recipe, at its default options; None where none suggests itself.

    It is the first, by name, whose value is the model's log-likelihood, else the first whose value bounds it from below.
    """
    bounds = []
    for name in estimators_that_fit(model):
        estimator = registry().estimator(name).load_class(Estimator).build()
        for claim in estimator.claims.value:
            if claim == Exact("log_prob"):
                return estimator
            if claim == LowerBound("log_prob"):
                bounds.append(estimator)
    return bounds[0] if bounds else None


def describe_capabilities(contracts: Iterable[type]) -> str:
    """Return contracts as words, each with the contract that it refines and that it therefore need not repeat.

    Example:
        >>> from probgen import Density, Reparameterized, Sampler
        >>> describe_capabilities([Reparameterized, Density, Sampler])
        'a Density and a Reparameterized Sampler'
    """
    listed = set(contracts)
    refined = {base for contract in listed for base in contract.__bases__ if base in listed}
    words = sorted(_with_article(contract) for contract in listed - refined)
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def _with_article(contract: type) -> str:
    nouns = [contract.__name__, *(base.__name__ for base in contract.__bases__ if base is not Model)]
    return f"{'an' if nouns[0][0] in 'AEIOU' else 'a'} {' '.join(nouns)}"

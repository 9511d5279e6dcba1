"""Checks of what a model says that it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import (
    Autoencoder,
    Autoregressive,
    BoundedLikelihood,
    Enumerable,
    Invertible,
    LatentVariable,
    MarkovKernel,
    NoiseProcess,
    Reparameterized,
    UnnormalizedDensity,
    capabilities,
)
from probgen.claims import Claim
from probgen.density import Density
from probgen.errors import CapabilityError
from probgen.pyro_bridge import run_pair
from probgen.sampler import Sampler
from probgen.testing.check import Check
from probgen.testing.checks.inputs import listed_events, possible, some_contexts, some_events, still, stream
from probgen.testing.trial import Judgement, Trial, conforms, fails
from probgen.testing.twins import abilities as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS = 3
Use = Callable[[Any, Tensor, Tensor | None], Any]


def _bound(model: Any, x: Tensor, context: Tensor | None) -> Any:
    if not isinstance(model.bound_claim, Claim):
        raise TypeError(f"bound_claim is {model.bound_claim!r}, no claim")
    return model.log_prob_bound(x, context)


_USES: Mapping[type, Use] = MappingProxyType(
    {
        Density: lambda model, x, context: model.log_prob(x, context),
        Sampler: lambda model, x, context: model.sample((), context),
        Reparameterized: lambda model, x, context: model.rsample((), context),
        UnnormalizedDensity: lambda model, x, context: model.energy(x, context),
        BoundedLikelihood: _bound,
        LatentVariable: lambda model, x, context: run_pair(model, x, context),
        Enumerable: lambda model, x, context: model.enumerate_support(),
        Invertible: lambda model, x, context: model.transform(x, context),
        MarkovKernel: lambda model, x, context: model.step(model.init(x, context), context),
        Autoencoder: lambda model, x, context: model.decode(model.encode(x, context), context),
        Autoregressive: lambda model, x, context: (model.order, model.log_prob_terms(x, context)),
        NoiseProcess: lambda model, x, context: model.schedule(torch.ones(_ROWS)),
    }
)
"""What a model with each capability must be able to answer."""


def _capabilities_agree(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    held = capabilities(model)
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    for contract, use in _USES.items():
        if contract in held:
            yield Judgement(f"held: {contract.__name__}", _works(model, contract, lambda use=use: use(model, x, context)))
        elif isinstance(model, contract):
            yield Judgement(f"not held: {contract.__name__}", _refuses(lambda use=use: use(model, x, context)))


def _works(model: Any, contract: type, use: Callable[[], Any]) -> Verdict:
    if not isinstance(model, contract):
        return fails(f"it says that it is {contract.__name__} and does not derive from it")
    try:
        use()
    except Exception as error:  # noqa: BLE001  # a subject may raise anything, and that is what is reported
        return fails(f"it says that it can, and raises {type(error).__name__}: {error}")
    return conforms("it can")


def _refuses(use: Callable[[], Any]) -> Verdict:
    try:
        use()
    except CapabilityError:
        return conforms("it raises CapabilityError")
    except Exception as error:  # noqa: BLE001  # as above
        return fails(f"expected CapabilityError; got {type(error).__name__}: {error}")
    return fails("it says that it cannot, and can")


def _enumeration(subject: Any, trial: Trial) -> Iterator[Judgement]:
    del trial
    model = still(subject)
    events = model.enumerate_support()
    if events.shape[1:] != model.event_shape:
        yield Judgement(
            "events", fails(f"expected events of shape {tuple(model.event_shape)}; got {tuple(events.shape[1:])}")
        )
        return
    strange = int((~possible(model, events)).sum())
    yield Judgement(
        "events", fails(f"{strange} lie outside of {model.support}") if strange else conforms("all are possible")
    )
    distinct = len(events.reshape(len(events), -1).unique(dim=0))
    doubled = distinct < len(events)
    yield Judgement("copies", fails(f"only {distinct} of {len(events)} differ") if doubled else conforms("all differ"))
    whole = listed_events(_Bare(model))
    if whole is not None:
        missing = len(whole) - distinct
        yield Judgement("number", fails(f"{missing} are missing") if missing else conforms("none is missing"))


class _Bare:
    """A model's events without its own list of them."""

    def __init__(self, model: Any) -> None:
        self.event_shape, self.support = model.event_shape, model.support


CHECKS = (
    Check(
        name="capabilities-agree",
        about="The model can do what it says, and refuses with CapabilityError what it says that it cannot.",
        kind="model",
        run=_capabilities_agree,
        twins={
            "says that it can and cannot": twins.CannotDrawGradients,
            "can and says that it cannot": twins.HidesItsGradients,
            "says what it does not derive from": twins.SaysToBeInvertible,
            "has a bound without a claim": twins.BoundsWithoutAClaim,
        },
    ),
    Check(
        name="enumeration",
        about="The list of events has each of them once and nothing else.",
        kind="model",
        run=_enumeration,
        twins={
            "lists an event twice": twins.ListsAnEventTwice,
            "forgets an event": twins.ForgetsAnEvent,
            "lists codes": twins.ListsCodes,
            "lists signs": twins.ListsSigns,
        },
        needs=(Enumerable,),
    ),
)

r"""The evidence of a latent-variable pair, $p(x) = \mathbb{E}_{q(z \mid x)}[p(x, z) / q(z \mid x)]$, without chance.

Where the guide's randomness is discrete and small it is enumerated. Where it draws one or two normal variables for an
example, they take the nodes of a trapezoidal rule in $u$, with $z = \mu + 2 \sigma \sinh u$. Its reach of 13 deviations
holds what a guide that is too narrow leaves out.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_pair
from probgen.pyro_bridge.recording import Drawn, Statement
from probgen.testing.exact import exact_expectation
from probgen.testing.failures import NotEnumerable
from probgen.testing.trial import NotApplicable

__all__ = ["exact_evidence"]

_MOST_RUNS, _MOST_PATHS = 1000, 64
_REACH, _STRETCH = 2.6, 2.0
_MOST_NODES, _FEWEST_NODES = 129, 21
_COARSER = 0.8
"""How many nodes the rule has that the result is compared with, in relation."""

_MOST_ROWS = 60_000
_ROUGHEST = 1e-3
"""No answer is given where the two rules are farther apart on the whole."""


@torch.no_grad()
def exact_evidence(pair: LatentVariable, events: Tensor, context: Tensor | None) -> tuple[Tensor, float]:
    """Return the evidence of each event, `(S, *event_shape) -> (S,)`, in float64, and a bound of the error of their sum.

    Args:
        pair: The model and its guide.
        events: Events, whose number may be up to some thousands.
        context: What all of them are conditioned on, `context_shape`; None where nothing is.

    Raises:
        NotApplicable: the guide's randomness can be neither listed nor integrated.
    """
    contexts = None if context is None else context.expand(len(events), *context.shape)
    sites: dict[str, Statement] = {}

    def look(statement: Statement) -> Drawn | None:
        sites[statement.name] = statement
        return None

    run_pair(pair, events, contexts, draw=look)
    if all(_base(site.distribution) is not None and site.shape == (len(events),) for site in sites.values()):
        return _integrated(pair, events, contexts, sites)
    return _enumerated(pair, events, contexts), 0.0


def _enumerated(pair: LatentVariable, events: Tensor, contexts: Tensor | None) -> Tensor:
    """Run the pair on one event at a time and walk every path of the guide."""
    masses = []
    for index in range(len(events)):
        one = slice(index, index + 1)
        context = None if contexts is None else contexts[one]
        try:
            moments = exact_expectation(
                lambda one=one, context=context: run_pair(pair, events[one], context).log_weights[0].double().exp(),
                max_paths=min(_MOST_PATHS, _MOST_RUNS // len(events)),
            )
        except NotEnumerable as error:
            raise NotApplicable(f"the guide's randomness can be neither listed nor integrated: {error.reason}") from error
        masses.append(moments.mean)
    return torch.cat(masses)


def _integrated(
    pair: LatentVariable, events: Tensor, contexts: Tensor | None, sites: dict[str, Statement]
) -> tuple[Tensor, float]:
    """Run the pair with a particle for each node of a lattice over the guide's normal variables."""
    sizes = {name: site.distribution.event_shape.numel() for name, site in sites.items()}
    variables = sum(sizes.values())
    nodes = min(_MOST_NODES, int((_MOST_ROWS / len(events)) ** (1 / variables)))
    if variables > 2 or nodes < _FEWEST_NODES or pair.particles == "loop":
        raise NotApplicable(f"{len(events)} events with {variables} normal variables each are too much to integrate over")
    found = []
    for rule in (int(_COARSER * nodes), nodes):
        lattice, log_weights = _lattice(rule, variables, events.dtype)
        answer = _Answers(dict(zip(sizes, lattice.split(list(sizes.values()), 1), strict=True)), len(events))
        trace = run_pair(pair, events, contexts, num_particles=len(lattice), draw=answer)
        found.append((trace.log_weights.double() + log_weights.double()[:, None]).logsumexp(0).exp())
    gap = float((found[1] - found[0]).abs().sum())
    if gap > _ROUGHEST:
        raise NotApplicable(f"the integrals over the guide's variables are certain to {gap:.1e} only")
    return found[1], gap


def _lattice(nodes: int, variables: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return points in units of the guide's deviation, `(K, variables)`, and what to add to their log-weights, `(K,)`."""
    u = torch.linspace(-_REACH, _REACH, nodes, dtype=dtype)
    points = _STRETCH * u.sinh()
    step = (_STRETCH * u.cosh() * (u[1] - u[0])).log()
    log_weights = step - 0.5 * points.square() - 0.5 * math.log(2 * math.pi)
    index = torch.cartesian_prod(*[torch.arange(nodes)] * variables).reshape(-1, variables)
    return points[index], log_weights[index].sum(1)


class _Answers:
    """Answers a guide's normal statements with nodes, one for each particle."""

    def __init__(self, nodes: dict[str, Tensor], examples: int) -> None:
        self._nodes, self._examples = nodes, examples

    def __call__(self, statement: Statement) -> Drawn:
        nodes, base = self._nodes[statement.name], _base(statement.distribution)
        if base is None:
            raise NotApplicable(f"the guide draws {statement.name} from another law the second time")
        shape = statement.full_shape
        particles = nodes[:, None].expand(-1, self._examples, -1)  # folded particles are the outer ones, as plated ones are
        return Drawn((base.loc + base.scale * particles.reshape(shape)).expand(shape), reparameterized=False)


def _base(distribution: Any) -> Normal | None:
    """Return the normal distribution of the entries, if that is what there is."""
    while isinstance(distribution, Independent) or hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return distribution if isinstance(distribution, Normal) else None

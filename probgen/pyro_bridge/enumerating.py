"""All assignments of a guide's finite sites, run side by side as particles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.distributions import Independent

from probgen.errors import CapabilityError, ConfigurationError
from probgen.latent import LatentVariable
from probgen.pyro_bridge.layout import batch_axis
from probgen.pyro_bridge.parameters import param_scope
from probgen.pyro_bridge.recording import PARTICLES, Drawn, Recorder, Statement
from probgen.pyro_bridge.running import call_program

__all__ = ["Enumeration", "count_assignments"]


def count_assignments(
    pair: LatentVariable, x: Tensor, context: Tensor | None, chosen: Callable[[Statement], bool]
) -> dict[str, int]:
    r"""Return how many assignments each of the chosen sites of the guide has, in the order of its draws.

    An assignment gives one value to every independent variable of one example at the site: there are $C^n$ for $n$ variables
    of $C$ values. The guide is run once, on the first assignment of each.

    Raises:
        CapabilityError: a chosen site has no finite support, or is shared by the batch.
    """
    found: dict[str, int] = {}

    def look(statement: Statement) -> Drawn | None:
        if not chosen(statement):
            return None
        variables = _Variables(pair, statement, len(x))
        found[statement.name] = variables.assignments
        return Drawn(variables.first, reparameterized=False)

    with param_scope(pair), torch.no_grad(), Recorder(f"{type(pair).__name__}.guide", draw=look):
        call_program(pair.guide, x, context)
    return found


class Enumeration:
    r"""Every joint assignment of some sites, with $K$ draws of all others for each: $S K$ particles for `run_pair`.

    The particles are numbered site by site in the guide's order, the first site's assignments outermost, and the $K$ draws
    innermost. A draw that comes before a site is enumerated is the same in all of its assignments.

    Args:
        pair: The model and its guide.
        sizes: How many assignments each site has, as `count_assignments` says.
        num_draws: $K$.
        num_examples: $N$.
    """

    def __init__(self, pair: LatentVariable, sizes: Mapping[str, int], *, num_draws: int, num_examples: int) -> None:
        self.pair = pair
        self.sizes = dict(sizes)
        self.num_assignments = math.prod(sizes.values())
        self.num_particles = self.num_assignments * num_draws
        self._mode = pair.particles if self.num_particles > 1 else "loop"
        self._examples = num_examples * (self.num_particles if self._mode == "fold" else 1)
        self._each = num_examples if self._mode == "fold" else 1
        self._runs: Counter[str] = Counter()

    def assign(self, statement: Statement) -> Drawn:
        """Return the values of an enumerated site in every particle.

        Raises:
            ConfigurationError: it has another number of assignments than `sizes` says.
            CapabilityError: the examples turn out to be coupled, so that particles cannot be folded into the batch.
        """
        variables = _Variables(self.pair, statement, self._examples)
        if variables.assignments != self.sizes[statement.name]:
            raise ConfigurationError(
                f"{type(self.pair).__name__}.guide: expected {self.sizes[statement.name]} assignments of {statement.name!r} "
                f"as in an earlier run; got {variables.assignments}. Initialise the estimator again for another model."
            )
        inner = self._inner(statement.name)
        return Drawn(variables.values(self._numbers(statement.name) // inner % variables.assignments), reparameterized=False)

    def share(self, statement: Statement, drawn: Drawn, enumerated: Mapping[str, object]) -> Drawn:
        """Return a draw made equal in all particles that differ only in sites that are not yet among the `enumerated`.

        Where particles are run one by one, draws are left as they are.

        Raises:
            CapabilityError: the site is outside the plate of the batch.
        """
        later = math.prod(size for name, size in self.sizes.items() if name not in enumerated)
        if later == 1 or self._mode == "loop":
            return drawn
        axis = self._axis(statement)
        split = drawn.value.unflatten(axis, (-1, later, self.num_particles // self.num_assignments * self._each))
        same = split.narrow(axis - 1, 0, 1).expand_as(split)
        return drawn._replace(value=same.flatten(axis - 2, axis))

    def _inner(self, name: str) -> int:
        """Return how many particles in a row share a site's assignment, times the examples where those are folded."""
        after = list(self.sizes).index(name) + 1
        later = math.prod(list(self.sizes.values())[after:])
        return later * self.num_particles // self.num_assignments * self._each

    def _numbers(self, name: str) -> Tensor:
        """Return the particles' numbers along the axis that they are on, or the number of the present run."""
        run = self._runs[name]
        self._runs[name] += 1
        if self._mode == "loop":
            return torch.tensor(run % self.num_particles)
        if run:
            raise self._coupled("one")
        return torch.arange(self.num_particles * self._each)

    def _axis(self, statement: Statement) -> int:
        """Return the axis of the particles in a site's value, from the right."""
        axis = (
            statement.axis_of(PARTICLES) if self._mode == "plate" else _examples_axis(self.pair, statement, self._examples)
        )
        if axis is None:
            raise self._coupled(repr(statement.name))
        return axis - statement.event_dim

    def _coupled(self, which: str) -> CapabilityError:
        return CapabilityError(
            f"{type(self.pair).__name__}.guide: expected every site inside the plate of the batch where one is enumerated; "
            f"got {which} outside of it. Use REINFORCE for a pair whose examples are coupled."
        )


class _Variables:
    """The independent variables of one example at a site, which all have the same finite support."""

    def __init__(self, pair: LatentVariable, statement: Statement, examples: int) -> None:
        where = f"{type(pair).__name__}.guide"
        base = statement.distribution
        while isinstance(base, Independent):
            base = base.base_dist
        if not base.has_enumerate_support:
            raise CapabilityError(
                f"{where}: expected a site of finite support to enumerate; got {statement.name!r}, a {type(base).__name__}. "
                "Choose another strategy for it."
            )
        batch = _examples_axis(pair, statement, examples)
        if batch is None or -batch > len(statement.distribution.batch_shape):
            raise CapabilityError(
                f"{where}: expected an enumerated site inside the plate of the batch; got {statement.name!r} outside of it. "
                "Choose another strategy for it."
            )
        depth = len(statement.distribution.batch_shape)
        particle = statement.axis_of(PARTICLES)
        self.shape = base.batch_shape
        self.support = base.enumerate_support(expand=False).reshape(-1, *base.event_shape)
        self.batch = depth + batch
        self.rows = self.batch if particle is None else depth + particle
        self.own = [size for axis, size in enumerate(self.shape) if axis not in (self.batch, self.rows)]

    @property
    def assignments(self) -> int:
        """How many assignments an example has."""
        return len(self.support) ** math.prod(self.own)

    @property
    def first(self) -> Tensor:
        """The first assignment, for every example."""
        return self.support[0].expand(*self.shape, *self.support.shape[1:])

    def values(self, numbers: Tensor) -> Tensor:
        """Return the assignments of the given numbers, along the axis of the rows: one for each row, or one for all."""
        numbers = numbers.to(self.support.device)
        radix = len(self.support)
        places = radix ** torch.arange(math.prod(self.own), device=numbers.device)
        chosen = self.support[numbers.unsqueeze(-1) // places % radix]
        event = self.support.shape[1:]
        values = chosen.reshape((*numbers.shape, *self.own, *event))
        if numbers.ndim:
            others = [axis for axis in range(len(self.shape)) if axis not in (self.batch, self.rows)]
            values = values.movedim(0, sum(axis < self.rows for axis in others))
        if not numbers.ndim or self.rows != self.batch:
            values = values.unsqueeze(self.batch)
        return values.expand(*self.shape, *event)


def _examples_axis(pair: LatentVariable, statement: Statement, examples: int) -> int | None:
    """Return the axis of the examples in a guide's statement, from the right of its batch shape; None when they share it."""
    where = f"{type(pair).__name__}.guide"
    declared = pair.batch_plate is not None
    fitting = [
        frame.name
        for frame in statement.frames
        if frame.dim is not None and frame.name != PARTICLES and frame.size == examples
    ]
    if not declared and len(fitting) > 1 and examples > 1:
        raise ConfigurationError(
            f"{where}: expected one plate of the batch's size {examples} at {statement.name!r}; got "
            f"{', '.join(map(repr, fitting))}. Say which is the batch with batch_plate={fitting[0]!r}."
        )
    plate = pair.batch_plate if declared else next(iter(fitting), None)
    return batch_axis(statement, plate, examples, declared=declared, where=where)

"""What a Pyro program does while it runs: its sample statements, seen by one light handler.

Pyro's own `poutine.trace` and `poutine.replay` build a graph and copy messages; that costs as much as a small model's whole
training step. Here each statement becomes one record, and a plate's particles one more frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import torch
from pyro.poutine.broadcast_messenger import BroadcastMessenger
from pyro.poutine.indep_messenger import IndepMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from probgen.errors import CapabilityError, ConfigurationError
from probgen.pyro_bridge.straight_through import passes_straight_through

__all__ = ["PARTICLES", "Draw", "Drawn", "ParticlePlate", "Record", "Recorder", "Statement"]

PARTICLES = "_particles"


@dataclasses.dataclass(eq=False)
class Statement:
    """One sample statement of a program.

    Args:
        name: Its name.
        distribution: Its distribution, expanded by the plates around it.
        auxiliary: Whether it says `is_auxiliary` (a factor, or a step of a guide's own).
        marked: Whether it asks to be enumerated.
        scale: Product of the scales of the plates and of `poutine.scale`.
        mask: What `poutine.mask` left, or None.
        frames: The plates around it, outermost first, that of the particles included.
    """

    name: str
    distribution: Any
    auxiliary: bool
    marked: bool
    scale: float | Tensor
    mask: Tensor | bool | None
    frames: tuple[Any, ...]

    @property
    def pathwise(self) -> bool:
        """Whether draws of the distribution carry the gradient of its parameters, as those of `rsample` should."""
        return self.distribution.has_rsample and not passes_straight_through(self.distribution)

    @cached_property
    def shape(self) -> torch.Size:
        """Batch shape of the statement: what its score has once it is broadcast against plates and mask."""
        shapes = self._shapes()
        return shapes.pop() if len(shapes) == 1 else torch.broadcast_shapes(*shapes)

    def _shapes(self) -> set[torch.Size]:
        shapes = {self.distribution.batch_shape}
        if isinstance(self.mask, Tensor):
            shapes.add(self.mask.shape)
        for frame in self.frames:
            if frame.dim is not None and frame.size != -1:
                shapes.add(torch.Size((frame.size, *(1 for _ in range(-frame.dim - 1)))))
        return shapes

    @property
    def plates(self) -> tuple[str, ...]:
        """Names of the plates around the statement, outermost first, without that of the particles."""
        return tuple(frame.name for frame in self.frames if frame.name != PARTICLES)

    @property
    def event_dim(self) -> int:
        """Number of a value's last axes that make up one event."""
        return len(self.distribution.event_shape)

    @property
    def full_shape(self) -> torch.Size:
        """Shape of a value once it is broadcast to the statement's batch shape."""
        return self.shape + self.distribution.event_shape

    def axis_of(self, plate: str) -> int | None:
        """Return the dimension of the plate called `plate`, counted from the right of `shape`; None outside of it."""
        return next((frame.dim for frame in self.frames if frame.name == plate), None)


@dataclasses.dataclass(eq=False)
class Record(Statement):
    """A statement as it ran.

    Args:
        value: What was drawn, replayed or observed.
        observed: Whether the program gave the value, or would have given it without `uncondition`.
        reparameterized: Whether a value that was drawn carries the gradient of the distribution's parameters.
        relaxed: Whether the value lies between those that the distribution gives.
        position: Its place among the program's statements.
    """

    value: Tensor
    observed: bool
    reparameterized: bool
    relaxed: bool
    position: int

    def _shapes(self) -> set[torch.Size]:
        return super()._shapes() | {self.value.shape[: self.value.ndim - self.event_dim]}


class Drawn(NamedTuple):
    """What a statement is answered with in the place of a draw of its own.

    Attributes:
        value: The value that both programs go on with.
        reparameterized: Whether it carries the gradient of the distribution's parameters.
        relaxed: Whether it lies between the distribution's discrete values, and is to be scored as `soft_log_prob` does.
    """

    value: Tensor
    reparameterized: bool
    relaxed: bool = False


Draw = Callable[[Statement], Drawn | None]
"""Answers statements that would draw; None to let one draw as it does."""


class Recorder(Messenger):
    """Records the sample statements of a program, and answers those that another program's records already hold.

    Statements stop here: handlers around `run_pair` do not see what happens inside it.

    Args:
        where: What to call the program in messages.
        replay: Records whose values the program's own draws take; None to draw afresh.
        draw: Answers statements in the place of a draw, marked ones too; None to draw as the program says.
        uncondition: Whether observed statements are drawn instead.

    Attributes:
        records: The sample statements that ran, by name.
        plates: Size and rows of the plates that subsample, by name.
        params: Names of the `pyro.param` statements that ran.
    """

    def __init__(
        self, where: str, replay: Recorder | None = None, *, draw: Draw | None = None, uncondition: bool = False
    ) -> None:
        super().__init__()
        self.where = where
        self.replay = replay
        self.draw = draw
        self.uncondition = uncondition
        self.records: dict[str, Record] = {}
        self.plates: dict[str, tuple[int, Tensor]] = {}
        self.params: set[str] = set()
        self._answers: dict[str, Drawn] = {}

    def refuse_straight_through(self) -> None:
        """Raise if a draw of the program's own carries the gradient of another value, which no estimator asked for.

        Raises:
            CapabilityError: there is one.
        """
        for name, record in self.records.items():
            if name not in self._answers and not record.observed and passes_straight_through(record.distribution):
                raise CapabilityError(
                    f"{self.where}: expected draws without gradients or with their own; got {name!r}, a "
                    f"{type(record.distribution).__name__}, whose rsample passes those of soft values straight through hard "
                    "ones. Draw from Bernoulli or OneHotCategorical and use the estimator StraightThrough, which says so."
                )

    def _pyro_sample(self, msg: Any) -> None:
        msg["stop"] = True
        if site_is_subsample(msg):
            self._replay_plate(msg)
        elif msg["is_observed"]:
            if self.uncondition and not _is_bookkeeping(msg):
                msg["is_observed"], msg["value"], msg["done"] = False, None, False
                msg["infer"]["was_observed"] = True
        elif self.draw is not None and self._answered(msg, self.draw):
            return
        elif self.replay is not None and not msg["done"]:
            self._replay_draw(msg, self.replay)
        else:
            self._refuse_marked(msg)

    def _pyro_post_sample(self, msg: Any) -> None:
        name, infer = msg["name"], msg["infer"] or {}
        if site_is_subsample(msg):
            self.plates[name] = (msg["fn"].size, msg["value"])
            return
        if infer.get("_deterministic"):
            return
        if name in self.records:
            raise ConfigurationError(f"{self.where}: expected each site once; got {name!r} twice. Give each its own name.")
        answer = self._answers.get(name)
        fields = _statement(msg)
        self.records[name] = Record(
            **fields,
            value=msg["value"],
            observed=msg["is_observed"] or bool(infer.get("was_observed")),
            reparameterized=Statement(**fields).pathwise if answer is None else answer.reparameterized,
            relaxed=answer is not None and answer.relaxed,
            position=len(self.records),
        )

    def _pyro_param(self, msg: Any) -> None:
        self.params.add(msg["name"])

    def _answered(self, msg: Any, draw: Draw) -> bool:
        """Whether `draw` answered the statement, which then has its value."""
        answer = None if msg["done"] else draw(Statement(**_statement(msg)))
        if answer is None:
            return False
        self._answers[msg["name"]] = answer
        msg["value"], msg["done"] = answer.value, True
        return True

    def _refuse_marked(self, msg: Any) -> None:
        if (msg["infer"] or {}).get("enumerate"):
            raise CapabilityError(
                f"{self.where}: expected sites that are drawn; got {msg['name']!r} with infer={{'enumerate': …}}. "
                "Sum it out in the model (MixtureSameFamily), draw it and use an estimator for discrete latents, or use "
                "SiteStrategies, which sums over it where the guide has it too."
            )

    def _replay_draw(self, msg: Any, source: Recorder) -> None:
        name = msg["name"]
        if name not in source.records:
            self._refuse_marked(msg)
            other = source.where.rpartition(".")[2]
            raise ConfigurationError(
                f"{self.where}: expected every latent to be drawn by the {other} as well; got {name!r}, which is not. "
                f"The {other} draws {', '.join(map(repr, source.records)) or 'nothing'}: add it there, or observe it."
            )
        drawn = source.records[name]
        self._answers[name] = Drawn(drawn.value, reparameterized=False, relaxed=drawn.relaxed)
        msg["value"], msg["done"] = drawn.value, True

    def _replay_plate(self, msg: Any) -> None:
        """Give the plate the rows that the guide's plate of the same name took."""
        if self.replay is None or msg["name"] not in self.replay.plates:
            return
        size, rows = self.replay.plates[msg["name"]]
        asked = msg["fn"].subsample_size or msg["fn"].size
        taken = asked if msg["value"] is None else len(msg["value"])
        if (msg["fn"].size, taken) != (size, len(rows)):
            raise ConfigurationError(
                f"{self.where}: expected plate {msg['name']!r} as in the guide, {len(rows)} of {size} rows; got {taken} of "
                f"{msg['fn'].size}. Give it one size in both programs; an autoguide keeps that of the batch it was made for."
            )
        if msg["value"] is None:
            msg["value"] = rows


class ParticlePlate(IndepMessenger):
    """An outer plate of `size` particles at dimension `dim`, without the statement that `pyro.plate` makes to subsample."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__(PARTICLES, size, dim)

    def _process_message(self, msg: Any) -> None:
        super()._process_message(msg)
        BroadcastMessenger._pyro_sample(msg)


def _is_bookkeeping(msg: Any) -> bool:
    """Whether an observed statement is a factor or a deterministic value rather than data."""
    infer = msg["infer"] or {}
    return bool(infer.get("is_auxiliary") or infer.get("_deterministic"))


def _statement(msg: Any) -> dict[str, Any]:
    """Return the fields of a `Statement`."""
    infer = msg["infer"] or {}
    return {
        "name": msg["name"],
        "distribution": msg["fn"],
        "auxiliary": bool(infer.get("is_auxiliary")),
        "marked": bool(infer.get("enumerate")),
        "scale": msg["scale"],
        "mask": None if msg["mask"] is True else msg["mask"],
        "frames": msg["cond_indep_stack"],
    }

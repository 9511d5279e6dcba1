"""Somebody's own model and guide as a model of probgen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen.batch import Batch
from probgen.errors import ConfigurationError
from probgen.latent import LatentVariable
from probgen.pyro_bridge import awaits_template, check_names_apart, explore_pair, sample_prior
from probgen.sampler import Sampler
from probgen.shapes import device_of

__all__ = ["PyroPair"]


class PyroPair(nn.Module, LatentVariable, Sampler):
    r"""A pair of Pyro programs, written without probgen in mind, as a latent-variable model and a sampler.

    The programs may be functions, `nn.Module`s, methods of one, `PyroModule`s or Pyro's autoguides. Whatever they learn
    becomes parameters of this module: those of modules given here, those that autoguides build when they first see their
    model, and the values of `pyro.param` statements, which are stored unconstrained and given to the programs under their
    constraint. The last two exist after `initialize`, which `probgen.fit` calls; nothing is ever left in Pyro's global
    parameter store.

    A network that a function merely closes over is found when the function announces it with `pyro.module`; its buffers and
    its training mode stay its own. Prefer a module as the program.

    Args:
        model: Called as `model(x)`, or `model(x, context)` when conditional, on a flat batch; it observes `x`.
        guide: Called alike; it draws the model's latents.
        event_shape: Shape of one `x`.
        context_shape: Shape of one context; None when not conditional.
        support: The values that an entry of `x` may take.
        particles: How several particles are run at once; see `LatentVariable`.
        batch_plate: Name of the plate over the batch; None to find it by its size.
        inference: Which parameters are the guide's, as globs over their names; needed only by estimators that train the two
            programs apart, where both are methods of one module (`"programs.encoder.*"`).

    Raises:
        ConfigurationError: `particles` is unknown, or model and guide use one parameter name for different parameters.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from probgen.batch import Batch
        >>> def model(x):
        ...     scale = pyro.param("scale", torch.tensor(1.0), constraint=constraints.positive)
        ...     with pyro.plate("data", len(x)):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
        ...         pyro.sample("x", dist.Normal(z, scale), obs=x)
        >>> def guide(x):
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("z", dist.Normal(x / 2, 1.0))
        >>> pair = PyroPair(model, guide, event_shape=())
        >>> pair.initialize(Batch(torch.zeros(5)))
        >>> [name for name, _ in pair.named_parameters()]
        ['statements.param_scale']
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        particles: Literal["fold", "plate", "loop"] = "fold",
        batch_plate: str | None = None,
        inference: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if particles not in ("fold", "plate", "loop"):
            raise ConfigurationError(f"PyroPair: expected particles 'fold', 'plate' or 'loop'; got {particles!r}.")
        check_names_apart(model, guide)
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = support
        self.particles = particles
        self.batch_plate = batch_plate
        self.inference = tuple(inference)
        self.model_program = model
        self.guide_program = guide
        self._owners = {"model": _owner(model), "guide": _owner(guide)}
        # A method keeps its module out of torch's sight; a module that is a program itself is registered above.
        bound = {name: owner for name, owner in self._owners.items() if owner not in (None, model, guide)}
        if len(bound) == 2 and bound["model"] is bound["guide"]:
            bound = {"programs": bound["model"]}
        for name, owner in bound.items():
            self.add_module(name if name == "programs" else f"{name}_module", owner)
        self.statements = nn.ParameterDict()
        self._declared: dict[str, tuple[str, Constraint]] = {}
        self._stated_by: dict[str, frozenset[str]] = {"model": frozenset(), "guide": frozenset()}
        self._initializing = False

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the generative program."""
        return self.model_program(x) if context is None else self.model_program(x, context)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the inference program.

        Raises:
            ConfigurationError: it is an autoguide that was not initialised.
        """
        if awaits_template(self.guide_program) and not self._initializing:
            raise ConfigurationError(
                f"PyroPair.guide: expected a guide that has seen its model; got {type(self.guide_program).__name__} before "
                "initialisation. Call initialize(batch) first; probgen.fit does."
            )
        return self.guide_program(x) if context is None else self.guide_program(x, context)

    def initialize(self, batch: Batch) -> None:
        """Run the pair once on `batch`: build the parameters of autoguides and adopt `pyro.param` statements.

        Running statistics and existing parameters stay as they are, so that a second call changes nothing.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        self._initializing = True
        try:
            found = explore_pair(self, batch.x, batch.context)
        finally:
            self._initializing = False
            for module, training in modes:
                module.training = training
        self.plate_nesting = found.plate_nesting
        self._stated_by = {"model": found.model_names, "guide": found.guide_names}
        for name, (value, constraint) in found.statements.items():
            key = _key(name)
            self.statements[key] = value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())
            self._declared[name] = (key, constraint)

    def inference_parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters of the guide by name: its module's, and those of its `pyro.param` statements.

        Raises:
            ConfigurationError: the guide has none, or shares one with the model.
        """
        if self.inference:
            return super().inference_parameters()
        ours, theirs = self._owned_by("guide"), self._owned_by("model")
        found = {name: p for name, p in self.named_parameters() if id(p) in ours and p.requires_grad}
        for name, parameter in found.items():
            if id(parameter) in theirs:
                raise ConfigurationError(
                    f"PyroPair.inference_parameters: expected parameters of the model and of the guide apart; got {name!r} "
                    "in both. Give each its own, or say inference=(…,) to train it with one of them."
                )
        if not found:
            raise ConfigurationError(
                "PyroPair.inference_parameters: expected a guide with parameters of its own; got none. Make it a module, or "
                "say which are its with inference=('….*',)."
            )
        return found

    def _owned_by(self, program: Literal["model", "guide"]) -> set[int]:
        """Return the identities of the parameters of one of the two programs."""
        owner = self._owners[program]
        parameters = [] if owner is None else list(owner.parameters())
        stated = [self.statements[key] for name, (key, _) in self._declared.items() if name in self._stated_by[program]]
        return set(map(id, parameters + stated))

    def _param_statements(self) -> Mapping[str, tuple[Tensor, Constraint]]:
        return {name: (self.statements[key], constraint) for name, (key, constraint) in self._declared.items()}

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        template = torch.zeros(n, *self.event_shape, device=device_of(self))
        return sample_prior(self, template, context)


def _owner(program: Callable[..., Any]) -> nn.Module | None:
    """Return the module that a program is, or is a method of; None for a function."""
    if isinstance(program, nn.Module):
        return program
    owner = getattr(program, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def _key(name: str) -> str:
    """Return a name that a module allows for the parameter of the statement `name`: without dots, and its own."""
    return "param_" + name.replace("%", "%25").replace(".", "%2E")

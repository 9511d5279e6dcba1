"""Running a model without data: drawing what it would observe, and scoring under the guide what it dreamt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from probgen.errors import CapabilityError, ConfigurationError
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge.layout import Axes, batch_axis, find_batch_plate, is_subsampled
from probgen.pyro_bridge.parameters import param_scope
from probgen.pyro_bridge.recording import Record, Recorder, Statement
from probgen.pyro_bridge.running import call_program
from probgen.pyro_bridge.sites import trace_of

__all__ = ["run_dream", "sample_prior"]


def sample_prior(pair: LatentVariable, template: Tensor, context: Tensor | None = None) -> Tensor:
    """Draw from the model alone: `x` as it would be observed, one event for each row of `template`.

    The template says how many to draw, and of what type; its values are ignored. Where examples share a latent, each row
    comes from a run of its own, so that the draws are independent.

    Raises:
        ConfigurationError: the model observes several sites and none is called `"x"`, or none at all.
    """
    with param_scope(pair):
        model = _run_freely(pair, template, context)
    observed = _Observed(pair, model, len(template))
    if len(template) > 1 and observed.coupled:
        rows = [slice(row, row + 1) for row in range(len(template))]
        return torch.cat([sample_prior(pair, template[row], None if context is None else context[row]) for row in rows])
    return observed.events(template)


def run_dream(pair: LatentVariable, template: Tensor, context: Tensor | None = None) -> LatentTrace:
    r"""Draw latents and data from the model, without gradients, and score the latents under the guide at those data.

    $$(x, z) \sim p(x, z \mid c), \qquad \log q(z \mid x, c)$$

    Args:
        pair: The model and its guide.
        template: As many rows as there are to be dreams, `(N, *event_shape)`; its values are ignored.
        context: What each dream is conditioned on, `(N, *context_shape)`, or None.

    Returns:
        A trace of one particle: its observations are the dreamt data, its latents were drawn by the *model*, and `log_guide`
        carries the gradient of the guide's parameters.

    Raises:
        CapabilityError: the guide draws a site of its own, whose value the model's draws do not tell.
        ConfigurationError: the two programs do not fit each other, or it cannot be told which site is the data.

    Example:
        >>> import pyro, torch, pyro.distributions as dist
        >>> from probgen import PyroPair
        >>> def model(x):
        ...     with pyro.plate("data", len(x)):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def guide(x):
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
        >>> trace = run_dream(PyroPair(model, guide, event_shape=()), torch.zeros(5))
        >>> (x,), (z,) = trace.sites["x"].value, trace.sites["z"].value
        >>> torch.allclose(trace.log_guide[0], dist.Normal(x / 2, 0.5**0.5).log_prob(z))
        True
    """
    with param_scope(pair):
        model = _run_freely(pair, template, context)
        dreamt = _Observed(pair, model, len(template)).events(template)
        guide = Recorder(f"{type(pair).__name__}.guide", replay=model, draw=partial(_refuse_auxiliary, pair))
        with guide:
            call_program(pair.guide, dreamt, context)
    return trace_of(pair, guide, model, len(template))


def _run_freely(pair: LatentVariable, template: Tensor, context: Tensor | None) -> Recorder:
    """Run the model with its observations drawn."""
    recorder = Recorder(f"{type(pair).__name__}.model", uncondition=True)
    with torch.no_grad(), recorder:
        call_program(pair.model, template, context)
    return recorder


def _refuse_auxiliary(pair: LatentVariable, statement: Statement) -> None:
    if statement.auxiliary:
        raise CapabilityError(
            f"{type(pair).__name__}.guide: expected the model's latents alone, which can be scored in dreams; got "
            f"{statement.name!r}, a site of the guide's own. Write its distributions in closed form, or train it on data."
        )


class _Observed:
    """The site that holds the data in a model that has run freely on `size` examples."""

    def __init__(self, pair: LatentVariable, model: Recorder, size: int) -> None:
        records = model.records
        drawn = [record for record in records.values() if record.observed and not record.auxiliary]
        if not drawn or (len(drawn) > 1 and "x" not in records):
            raise ConfigurationError(
                f"{model.where}: expected one observed site, or one called 'x'; got {len(drawn)}, of other names. "
                "Observe the data with pyro.sample('x', …, obs=x)."
            )
        self.record: Record = records["x"] if len(drawn) > 1 else drawn[0]
        plate = find_batch_plate(drawn, size, pair.batch_plate, model.where)
        declared = pair.batch_plate is not None
        axes: Mapping[str, int | None] = {
            name: batch_axis(record, plate, size, declared=declared, where=model.where) for name, record in records.items()
        }
        self.axis = axes[self.record.name]
        self.coupled = None in axes.values() or is_subsampled(drawn, plate)

    def events(self, template: Tensor) -> Tensor:
        """Return the site's values as a flat batch, shaped as `template`."""
        axes = Axes(tuple(self.record.shape), self.axis, None)
        return axes.arrange(self.record.value, self.record.event_dim).reshape(template.shape)

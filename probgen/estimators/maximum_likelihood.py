"""Maximum likelihood, for whatever can be scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from probgen.batch import Batch
from probgen.claims import Claims, Exact, Unbiased
from probgen.density import Density
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of

__all__ = ["MaximumLikelihood"]


class MaximumLikelihood(Estimator):
    r"""The log-likelihood of the data, and its gradient.

    Estimates:
        $$\log p_\theta(x \mid c), \qquad \nabla_\theta \frac{1}{N} \sum_n \log p_\theta(x_n \mid c_n)$$

    Claims:
        The value is exact. The gradient is exact for the batch, and so unbiased for that of the expected log-likelihood
        under whatever drew the batch.

    Example:
        >>> import torch
        >>> from probgen import Batch, as_model
        >>> loc = torch.nn.Parameter(torch.tensor(1.0))
        >>> model = as_model(torch.distributions.Normal(loc, 1.0))
        >>> phase = MaximumLikelihood().phases(model)[0]
        >>> estimate = phase(model, Batch(torch.tensor([0.0, 4.0])), {})
        >>> torch.autograd.grad(estimate.surrogate, loc)[0].item()  # descending it moves loc towards the mean, 2
        -1.0
    """

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """The value is exact, the gradient unbiased."""
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the one phase, which trains every parameter of the model."""
        return [Phase("main", parameters_of(model), self._estimate)]

    @staticmethod
    def _estimate(model: Density, batch: Batch, state: State) -> Estimate:
        scores = model.log_prob(batch.x, batch.context)
        return Estimate(surrogate=-scores.mean(), value=scores.detach(), state=state)

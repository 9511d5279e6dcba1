"""Maximum likelihood, for models that know their own."""

from __future__ import annotations

from collections.abc import Sequence

from probgen.batch import Batch
from probgen.claims import Claims, Exact, Unbiased
from probgen.density import Density
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of

__all__ = ["MaximumLikelihood"]


class MaximumLikelihood(Estimator):
    r"""The log-likelihood of a `Density`.

    $$\ell(x) = \log p_\theta(x \mid c)$$

    Use it wherever the model can be scored exactly: flows, autoregressive models, mixtures.

    Estimates:
        $\ell(x)$ of each example, `(N,)`, in nats.

    Claims:
        value: exactly the log-likelihood of each example.
        gradient: unbiased over batches, for all parameters.

    Example:
        >>> print(*MaximumLikelihood().claims.value, sep="; ")
        exactly log_prob
    """

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Exact in value; the gradient of a batch's mean is unbiased for the data's."""
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def phases(self, model: Density) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=_estimate)]


def _estimate(model: Density, batch: Batch, state: State) -> Estimate:
    scores = model.log_prob(batch.x, batch.context)
    return Estimate(surrogate=-scores.mean(), value=scores.detach())

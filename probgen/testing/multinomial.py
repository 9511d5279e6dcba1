r"""Do draws follow the probabilities that they are claimed to follow?

The wealth of a bettor against the claim is an exact test martingale, whatever the number of draws and whenever one looks
(Krichevsky and Trofimov's mixture over all laws against the claimed one):

$$E_n = \frac{\Gamma(k/2)}{\Gamma(n + k/2)} \prod_j \frac{\Gamma(c_j + 1/2)}{\Gamma(1/2)} \Big/ \prod_j p_j^{c_j},
  \qquad P\left(\sup_n E_n \ge 1/\alpha\right) \le \alpha$$

A pass needs more than that this wealth stays small: a confidence bound on the distance between the two laws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import gammaln

from probgen.errors import ConfigurationError, ShapeError
from probgen.testing.drawing import to_array
from probgen.testing.seeds import derive_seed
from probgen.testing.sequential import Finding, accumulate
from probgen.testing.verdict import Verdict

__all__ = ["CategoryEvidence", "decide_categories", "log_wealth", "variation_bound"]


def log_wealth(counts: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    r"""Return $\log E_n$ of category `counts`, `(..., k) -> (...)`; infinite where an impossible category occurred.

    Example:
        >>> log_wealth(np.array([5, 5]), np.array([0.5, 0.5])).round(3)
        np.float64(-1.402)
    """
    possible = probabilities > 0
    seen, chance = counts[..., possible], probabilities[possible]
    n, k = seen.sum(-1), seen.shape[-1]
    mixture = gammaln(k / 2) - gammaln(n + k / 2) + (gammaln(seen + 0.5) - gammaln(0.5)).sum(-1)
    impossible = (counts[..., ~possible] > 0).any(-1)
    return np.where(impossible, np.inf, mixture - (seen * np.log(chance)).sum(-1))[()]


def variation_bound(counts: np.ndarray, probabilities: np.ndarray, *, level: float) -> float:
    r"""Return a bound on the total variation between the draws' law and `probabilities`, wrong with probability `level`.

    $$\mathrm{TV}(q, p) \le \mathrm{TV}(\hat q, p)
      + \frac{1}{2}\left(\sqrt{\frac{k - 1}{n}} + \sqrt{\frac{2 \log(1/\beta)}{n}}\right)$$

    The first root bounds the expected distance of frequencies from their law, the second is McDiarmid's inequality.

    Example:
        >>> round(variation_bound(np.array([5000, 5000]), np.array([0.5, 0.5]), level=1e-3), 4)
        0.0236
    """
    n = counts.sum()
    observed = 0.5 * np.abs(counts / n - probabilities).sum()
    return float(observed + 0.5 * (math.sqrt((len(counts) - 1) / n) + math.sqrt(2 * math.log(1 / level) / n)))


def decide_categories(
    draw: Callable[[int, int], Any],
    probabilities: Any,
    alpha: float = 1e-9,
    *,
    delta: float = 0.05,
    beta: float = 1e-3,
    max_samples: int = 10_000_000,
    name: str = "categories",
    seed: int | None = None,
) -> Verdict:
    """Decide whether draws follow the claimed `probabilities`.

    Args:
        draw: `draw(n, seed)` returns the categories of `n` independent draws, `(n,)` integers that depend on `seed` alone.
        probabilities: The claimed law, `(k,)`.
        alpha: Probability of `FAILS` for a true claim.
        delta: The distance in total variation that a pass excludes.
        beta: Probability of `CONFORMS` although the distance is `delta` or more.
        max_samples: Draws until the answer is that there is none; at least 1000.
        name: What is checked, for the seed and the message.
        seed: Of the draws; by default derived from the session's entropy and `name`.

    Raises:
        ConfigurationError: the probabilities are no law, or an option is out of range.
        ShapeError: the draws are not `n` categories.

    Example:
        >>> def die(n, seed):
        ...     return np.random.default_rng(seed).integers(6, size=n)
        >>> decide_categories(die, np.full(6, 1 / 6), seed=0).outcome
        <Outcome.CONFORMS: 'CONFORMS'>
        >>> decide_categories(die, [0.1, 0.1, 0.2, 0.2, 0.2, 0.2], seed=0).outcome
        <Outcome.FAILS: 'FAILS'>

    References:
        Krichevsky & Trofimov (1981). Ville (1939).
    """
    claimed = _law(probabilities)

    def categories(n: int, call_seed: int) -> np.ndarray:
        values, _ = to_array(draw(n, call_seed))
        if values.shape != (n,):
            raise ShapeError(f"decide_categories: expected ({n},) categories; got {values.shape}. Return one for each draw.")
        return values

    return accumulate(
        categories,
        [CategoryEvidence(claimed)],
        alpha=alpha,
        beta=beta,
        delta=delta,
        max_samples=max_samples,
        seed=derive_seed(name) if seed is None else seed,
        ill_formed=lambda values: _unknown(values, len(claimed)),
    )


class CategoryEvidence:
    """Evidence from how often each category occurs.

    Args:
        probabilities: The claimed law, `(k,)`.
        names: What the categories are called in messages; their numbers by default.
    """

    distance = "total variation"

    def __init__(self, probabilities: np.ndarray, names: Callable[[int], str] = lambda index: f"category {index}") -> None:
        self._probabilities = probabilities
        self._names = names
        self._counts = np.zeros(len(probabilities))

    def update(self, draws: np.ndarray) -> None:
        """Count further categories, `(n,)`."""
        self._counts += np.bincount(draws.astype(int), minlength=len(self._counts))

    def refutation(self, *, level: float, looks: int) -> Finding | None:
        """Return the category that is farthest off once the wealth exceeds `1 / level`; the number of looks is free."""
        del looks
        if log_wealth(self._counts, self._probabilities) < math.log(1 / level):
            return None
        frequencies = self._counts / self._counts.sum()
        off = np.abs(frequencies - self._probabilities)
        impossible = (self._counts > 0) & (self._probabilities == 0)
        worst = int(np.where(impossible, 1 + off, off).argmax())
        name = self._names(worst)
        reason = f"{name} has frequency {frequencies[worst]:.4g} instead of {self._probabilities[worst]:.4g}"
        return Finding(0.5 * float(off.sum()), name, reason)

    def bound(self, *, level: float, looks: int) -> float:
        """Return a bound on the total variation."""
        return variation_bound(self._counts, self._probabilities, level=level / looks)


def _unknown(values: np.ndarray, k: int) -> Finding | None:
    strange = values[~np.isin(values, np.arange(k))]
    if not len(strange):
        return None
    return Finding(
        1.0, "a value without probability", f"{strange[0]:g} was drawn, which is none of the categories 0 to {k - 1}"
    )


def _law(probabilities: Any) -> np.ndarray:
    law, _ = to_array(probabilities)
    if law.ndim != 1 or not (law >= 0).all() or abs(law.sum() - 1) > 1e-6:
        raise ConfigurationError(
            f"decide_categories: expected probabilities (k,) that sum to 1; got shape {law.shape} and sum {law.sum():.6g}. "
            "Normalise them."
        )
    return law / law.sum()

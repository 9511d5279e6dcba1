r"""Thresholds for means of independent draws whose skewness is not negligible.

At the levels that matter here the tail of a t-statistic is decided by skewness, not by the normal limit: the probability of
exceeding $z$ is about $\Phi(-z)\, e^{-\gamma z^3 / (3 \sqrt n)}$. Moving the threshold undoes this to first order.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

__all__ = ["block_radius", "normal_quantile", "skewed_quantile"]


def normal_quantile(level: float) -> float:
    r"""Return the $z$ that a standard normal variable exceeds with probability `level`.

    Example:
        >>> round(normal_quantile(1e-9), 3)
        5.998
    """
    return float(norm.isf(level))


def skewed_quantile(level: float, skewness: np.ndarray, n: int, *, side: int) -> np.ndarray:
    r"""Return the threshold for a t-statistic of `n` draws, corrected for their skewness.

    $$\tilde z = z \left(1 + \max(0, -\text{side} \cdot \gamma) \frac{z}{3 \sqrt n}\right)$$

    Negative skewness makes the right tail of the statistic heavier, since the deviation in its denominator is then small
    when the mean is large.

    Args:
        level: Probability of exceeding it.
        skewness: $\gamma$ of the draws, of any shape.
        n: Number of draws.
        side: +1 for a statistic that is rejected when large, -1 when small; the threshold is for `side` times it.

    References:
        Jing, Shao & Wang (2003). Self-normalized Cramér-type large deviations.

    Example:
        >>> skewed_quantile(1e-3, np.array([0.0, -2.0, 2.0]), 1000, side=+1).round(3)
        array([3.09 , 3.292, 3.09 ])
    """
    z = normal_quantile(level)
    adverse = np.maximum(0.0, -side * skewness)
    return z * (1 + adverse * z / (3 * np.sqrt(n)))


def block_radius(covariance: np.ndarray, skewness: np.ndarray, n: int, exponent: float) -> np.ndarray:
    r"""Return how far the mean of `n` draws strays from its expectation, but for probability $e^{-x}$.

    $$r(x) = \left(1 + \frac{\gamma \sqrt{2x}}{3 \sqrt n}\right)
      \sqrt{\frac{\operatorname{tr} S + 2 \sqrt{x \operatorname{tr} S^2} + 2 \lambda_{\max} x}{n}}$$

    Nothing is inverted, so $S$ may be singular.

    Args:
        covariance: $S$ of one draw, `(..., d, d)`.
        skewness: Skewness of each coordinate, `(..., d)`; the largest, $\gamma$, counts.
        n: Number of draws.
        exponent: $x$.

    References:
        Laurent & Massart (2000). Hsu, Kakade & Zhang (2012), arXiv:1110.2842.

    Example:
        >>> block_radius(np.eye(4), np.zeros(4), 100, exponent=0.0)
        np.float64(0.2)
    """
    trace = np.trace(covariance, axis1=-2, axis2=-1)
    squared = (covariance**2).sum((-2, -1))
    largest = np.linalg.eigvalsh(covariance)[..., -1].clip(min=0)
    spread = np.sqrt((trace + 2 * np.sqrt(squared * exponent) + 2 * largest * exponent) / n)
    return (1 + np.abs(skewness).max(-1) * np.sqrt(2 * exponent) / (3 * np.sqrt(n))) * spread

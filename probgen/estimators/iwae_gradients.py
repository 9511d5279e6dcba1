r"""Gradients of the importance-weighted bound: three ways through the same draws.

With $w_k = p(x, z_k) / q_\phi(z_k \mid x)$, $\tilde w_k = w_k / \sum_j w_j$ and reparameterised draws $z_k(\phi)$, the full
gradient is a sum of three parts, of which the third is the score function of the guide:

$$\nabla \log \tfrac{1}{K} \sum_k w_k
  = \underbrace{\sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k)}_{\text{generative}}
  + \underbrace{\sum_k \tilde w_k \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}}_{\text{path}}
  - \underbrace{\sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k \mid x)}_{\text{score}}$$
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probgen.claims import Biased, Claim, Unbiased
from probgen.estimators.importance import log_mean_exp
from probgen.estimators.program_names import GENERATIVE, INFERENCE
from probgen.latent import LatentTrace
from probgen.pyro_bridge import Drawn, Statement

__all__ = ["Cut", "DReG", "ImportanceGradient", "Pathwise", "STL", "along_draws", "cutting_draws"]


class Cut(NamedTuple):
    """A reparameterised draw that was cut off from what follows.

    Args:
        draw: What the guide's distribution returned: a function of the guide's parameters and of earlier copies.
        copy: What both programs went on with instead: a leaf that requires a gradient.
    """

    draw: Tensor
    copy: Tensor


class cutting_draws:  # noqa: N801
    """Placeholder."""

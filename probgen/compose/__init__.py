"""The algebra of models: bigger models from smaller ones, each with the powers of its parts.

| | |
|---|---|
| `Mixture(a, b, …)` | one of several models, at random |
| `Conditional(a, b, …)` | one of several models, as a one-hot context says |
| `Chain(a, b)` | `a`, and `b` given it |
| `Pushforward(base, bijection)` | a base seen through an invertible map |
| `Standardized(model, shift, scale)` | a model of shifted and scaled values |
| `Dequantized(model, levels)` | discrete values as cells of a continuous model |
| `Latent(prior, decoder, posterior)` | a latent-variable model from its three parts |

A composite is a model like any other: it nests, trains, is saved and is checked. Parts may be ours, a plugin's, or
distributions of torch and Pyro. What a composite can do is asked of the instance: `capabilities(Mixture(a, b))`.
"""

from __future__ import annotations

from probgen.compose.chain import Chain
from probgen.compose.conditional import Conditional
from probgen.compose.dequantized import Dequantized
from probgen.compose.latent import Latent
from probgen.compose.mixture import Mixture
from probgen.compose.pushforward import Pushforward
from probgen.compose.standardized import Standardized

__all__ = ["Chain", "Conditional", "Dequantized", "Latent", "Mixture", "Pushforward", "Standardized"]

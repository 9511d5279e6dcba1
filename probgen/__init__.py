"""Probabilistic programming for deep generative models.

A model is something you can score (a `Density`), something you can draw from (a `Sampler`), or both. An `Estimator` turns a
model and a batch into a stochastic estimate of an objective whose gradient trains the model, and says how biased it is.

Names are resolved on first use: `import probgen` imports neither torch nor Pyro.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver

__version__ = "0.1.0"

_HOMES: dict[str, str] = {
    "Autoencoder": "probgen.capabilities",
    "Autoregressive": "probgen.capabilities",
    "Adversarial": "probgen.estimators.adversarial",
    "Batch": "probgen.batch",
    "BoundedLikelihood": "probgen.capabilities",
    "CapabilityError": "probgen.errors",
    "CheckpointError": "probgen.errors",
    "ConfigurationError": "probgen.errors",
    "ContrastiveDivergence": "probgen.estimators.contrastive_divergence",
    "DataError": "probgen.errors",
    "DenoisingScoreMatching": "probgen.estimators.denoising_score_matching",
    "Density": "probgen.density",
    "ELBO": "probgen.estimators.elbo",
    "Enumerable": "probgen.capabilities",
    "Estimate": "probgen.estimator",
    "Estimator": "probgen.estimator",
    "Evaluation": "probgen.evaluation",
    "GumbelSoftmax": "probgen.estimators.gumbel_softmax",
    "IWAE": "probgen.estimators.iwae",
    "Invertible": "probgen.capabilities",
    "LatentVariable": "probgen.latent",
    "MMD": "probgen.estimators.mmd",
    "MarkovKernel": "probgen.capabilities",
    "MaximumLikelihood": "probgen.estimators.maximum_likelihood",
    "Model": "probgen.shapes",
    "NoiseProcess": "probgen.capabilities",
    "NonFiniteError": "probgen.errors",
    "Objective": "probgen.estimator",
    "Phase": "probgen.estimator",
    "PluginLoadError": "probgen.errors",
    "ProbgenError": "probgen.errors",
    "PyroPair": "probgen.pyro_pair",
    "REBAR": "probgen.estimators.relax",
    "REINFORCE": "probgen.estimators.reinforce",
    "RELAX": "probgen.estimators.relax",
    "Recipe": "probgen.training.recipe",
    "Reparameterized": "probgen.capabilities",
    "ReweightedWakeSleep": "probgen.estimators.reweighted_wake_sleep",
    "Sampler": "probgen.sampler",
    "ScoreMatching": "probgen.estimators.score_matching",
    "ShapeError": "probgen.errors",
    "SiteStrategies": "probgen.estimators.site_strategies",
    "Stage": "probgen.training.recipe",
    "StraightThrough": "probgen.estimators.straight_through",
    "SupportError": "probgen.errors",
    "UnknownNameError": "probgen.errors",
    "UnnormalizedDensity": "probgen.capabilities",
    "VIMCO": "probgen.estimators.vimco",
    "VariationalDiffusion": "probgen.estimators.variational_diffusion",
    "WakeSleep": "probgen.estimators.wake_sleep",
    "as_model": "probgen.adapters",
    "as_source": "probgen.data",
    "build": "probgen.plugin",
    "build_estimator": "probgen.plugin",
    "evaluate": "probgen.evaluation",
    "fit": "probgen.training",
    "load": "probgen.training",
    "run_pair": "probgen.pyro_bridge",
    "save": "probgen.training",
}

__all__ = [
    "Autoencoder",
    "Autoregressive",
    "Adversarial",
    "Batch",
    "BoundedLikelihood",
    "CapabilityError",
    "CheckpointError",
    "ConfigurationError",
    "ContrastiveDivergence",
    "DataError",
    "DenoisingScoreMatching",
    "Density",
    "ELBO",
    "Enumerable",
    "Estimate",
    "Estimator",
    "Evaluation",
    "GumbelSoftmax",
    "IWAE",
    "Invertible",
    "LatentVariable",
    "MMD",
    "MarkovKernel",
    "MaximumLikelihood",
    "Model",
    "NoiseProcess",
    "NonFiniteError",
    "Objective",
    "Phase",
    "PluginLoadError",
    "ProbgenError",
    "PyroPair",
    "REBAR",
    "REINFORCE",
    "RELAX",
    "Recipe",
    "Reparameterized",
    "ReweightedWakeSleep",
    "Sampler",
    "ScoreMatching",
    "ShapeError",
    "SiteStrategies",
    "Stage",
    "StraightThrough",
    "SupportError",
    "UnknownNameError",
    "UnnormalizedDensity",
    "VIMCO",
    "VariationalDiffusion",
    "WakeSleep",
    "__version__",
    "as_model",
    "as_source",
    "build",
    "build_estimator",
    "evaluate",
    "fit",
    "load",
    "run_pair",
    "save",
]

if TYPE_CHECKING:
    from probgen.adapters import as_model
    from probgen.batch import Batch
    from probgen.capabilities import (
        Autoencoder,
        Autoregressive,
        BoundedLikelihood,
        Enumerable,
        Invertible,
        MarkovKernel,
        NoiseProcess,
        Reparameterized,
        UnnormalizedDensity,
    )
    from probgen.data import as_source
    from probgen.density import Density
    from probgen.errors import (
        CapabilityError,
        CheckpointError,
        ConfigurationError,
        DataError,
        NonFiniteError,
        PluginLoadError,
        ProbgenError,
        ShapeError,
        SupportError,
        UnknownNameError,
    )
    from probgen.estimator import Estimate, Estimator, Objective, Phase
    from probgen.estimators.adversarial import Adversarial
    from probgen.estimators.contrastive_divergence import ContrastiveDivergence
    from probgen.estimators.denoising_score_matching import DenoisingScoreMatching
    from probgen.estimators.elbo import ELBO
    from probgen.estimators.gumbel_softmax import GumbelSoftmax
    from probgen.estimators.iwae import IWAE
    from probgen.estimators.maximum_likelihood import MaximumLikelihood
    from probgen.estimators.mmd import MMD
    from probgen.estimators.reinforce import REINFORCE
    from probgen.estimators.relax import REBAR, RELAX
    from probgen.estimators.reweighted_wake_sleep import ReweightedWakeSleep
    from probgen.estimators.score_matching import ScoreMatching
    from probgen.estimators.site_strategies import SiteStrategies
    from probgen.estimators.straight_through import StraightThrough
    from probgen.estimators.variational_diffusion import VariationalDiffusion
    from probgen.estimators.vimco import VIMCO
    from probgen.estimators.wake_sleep import WakeSleep
    from probgen.evaluation import Evaluation, evaluate
    from probgen.latent import LatentVariable
    from probgen.plugin import build, build_estimator
    from probgen.pyro_bridge import run_pair
    from probgen.pyro_pair import PyroPair
    from probgen.sampler import Sampler
    from probgen.shapes import Model
    from probgen.training import fit, load, save
    from probgen.training.recipe import Recipe, Stage


__getattr__ = resolver(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

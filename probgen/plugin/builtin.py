"""The core's own plugin: its estimators and data sets are registered as anyone's are."""

from __future__ import annotations

from probgen.data.specs import DATA_SPECS
from probgen.plugin.hookspecs import hookimpl
from probgen.plugin.specs import DataSpec, EstimatorSpec, Option

__all__ = ["probgen_data", "probgen_estimators"]

_GAMES = ("minimax", "non-saturating", "wasserstein", "wasserstein-gp", "least-squares", "hinge", "dragan", "began")


@hookimpl
def probgen_estimators() -> list[EstimatorSpec]:
    """Return the core's estimators."""
    return [
        EstimatorSpec(
            "adversarial",
            "Game with a critic that tells draws from data: GAN, WGAN, WGAN-GP, LSGAN, DRAGAN, BEGAN, hinge.",
            "probgen.estimators.adversarial:Adversarial",
            options=(
                Option("loss", "str", "non-saturating", "The game.", choices=_GAMES),
                Option("critic_steps", "int", 1, "Critic's steps for each of the generator's.", minimum=1),
                Option("clip", "float", 0.01, "Largest parameter of the critic of `wasserstein`.", minimum=1e-8),
                Option(
                    "penalty_weight",
                    "float",
                    None,
                    "Weight of a gradient penalty; none for 10 in wasserstein-gp and dragan, 0 elsewhere.",
                    minimum=0,
                ),
            ),
            reference="Goodfellow et al. (2014), arXiv:1406.2661; Lucic et al. (2018), arXiv:1711.10337, for the variants.",
        ),
        EstimatorSpec(
            "contrastive-divergence",
            "Likelihood's gradient of an energy, with a few steps of its Markov chain; chains may persist.",
            "probgen.estimators.contrastive_divergence:ContrastiveDivergence",
            options=(
                Option("k", "int", 1, "Steps of the chain for each of the estimator's.", minimum=1),
                Option("persistent", "bool", default=False, help="Keep the chains from one step to the next."),
                Option("num_chains", "int", None, "Persistent chains; none for one an example of the batch.", minimum=1),
            ),
            reference="Hinton (2002); Tieleman (2008) for persistent chains.",
        ),
        EstimatorSpec(
            "denoising-score-matching",
            "Weighted squared error of a denoiser's noise at a uniform time.",
            "probgen.estimators.denoising_score_matching:DenoisingScoreMatching",
            options=(
                Option(
                    "weighting",
                    "str",
                    "simple",
                    "How much an error counts at each time.",
                    choices=("simple", "min-snr", "likelihood"),
                ),
            ),
            reference="Vincent (2011); Ho, Jain & Abbeel (2020), arXiv:2006.11239.",
        ),
        EstimatorSpec(
            "elbo",
            "Evidence lower bound of a latent-variable model, by sampled or analytic KL divergence.",
            "probgen.estimators.elbo:ELBO",
            options=(
                Option("beta", "float", 1.0, "Weight of the KL divergence; below 1 it is no bound.", minimum=0),
                Option("analytic_kl", "bool", default=True, help="Use the KL divergence in closed form where one is known."),
                Option("num_particles", "int", 1, "Draws of the latents for each example.", minimum=1),
            ),
            reference="Kingma & Welling (2014), arXiv:1312.6114; Higgins et al. (2017) for beta.",
        ),
        EstimatorSpec(
            "maximum-likelihood",
            "Log-likelihood of a model that can score exactly.",
            "probgen.estimators.maximum_likelihood:MaximumLikelihood",
        ),
        EstimatorSpec(
            "mmd",
            "Squared maximum mean discrepancy between draws and data.",
            "probgen.estimators.mmd:MMD",
            options=(
                Option(
                    "statistic",
                    "str",
                    "u-statistic",
                    "How it is estimated from two samples.",
                    choices=("u-statistic", "v-statistic", "linear-time"),
                ),
                Option(
                    "bandwidth",
                    "float",
                    None,
                    "Middle bandwidth of the Gaussian kernels; none for the data's median distance.",
                    minimum=1e-8,
                ),
                Option("block_size", "int", 512, "Rows of a Gram matrix that exist at once.", minimum=1),
                Option("num_samples", "int", None, "Draws in each step; none for one an example.", minimum=2),
            ),
            reference="Gretton et al. (2012); Li, Swersky & Zemel (2015), arXiv:1502.02761.",
        ),
        EstimatorSpec(
            "score-matching",
            "Fisher divergence of an energy from the data, up to a constant.",
            "probgen.estimators.score_matching:ScoreMatching",
            options=(
                Option("method", "str", "exact", "How the Jacobian's trace is taken.", choices=("exact", "sliced")),
                Option("num_projections", "int", 1, "Random directions for each example, when sliced.", minimum=1),
            ),
            reference="Hyvärinen (2005); Song, Garg, Shi & Ermon (2019), arXiv:1905.07088.",
        ),
    ]


@hookimpl
def probgen_data() -> list[DataSpec]:
    """Return the core's data sets."""
    return list(DATA_SPECS)

"""The core's own plugin: its estimators and data sets are registered as anyone's are."""

from __future__ import annotations

from probgen.data.specs import DATA_SPECS
from probgen.plugin.hookspecs import hookimpl
from probgen.plugin.specs import DataSpec, EstimatorSpec, Option

__all__ = ["probgen_data", "probgen_estimators"]

_GAMES = ("minimax", "non-saturating", "wasserstein", "wasserstein-gp", "least-squares", "hinge", "dragan", "began")

_ANALYTIC_KL = Option("analytic_kl", "bool", default=True, help="Use the KL divergence in closed form where one is known.")

_LEARNED_TEMPERATURE = Option(
    "temperature", "float", 0.5, "Temperature of the relaxation at the start; it is learned.", minimum=1e-4
)


def _particles(default: int, *, minimum: int = 1) -> Option:
    return Option("num_particles", "int", default, "Draws of the latents for each example.", minimum=minimum)


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
                Option(
                    "critic_hidden",
                    "ints",
                    None,
                    "Width of each hidden layer of a dense critic; none for three of 128, convolutions for images.",
                    minimum=1,
                ),
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
                    choices=("simple", "event", "velocity", "min-snr", "likelihood"),
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
                _ANALYTIC_KL,
                _particles(1),
            ),
            reference="Kingma & Welling (2014), arXiv:1312.6114; Higgins et al. (2017) for beta.",
        ),
        EstimatorSpec(
            "gumbel-softmax",
            "Evidence lower bound of discrete latents relaxed to continuous ones.",
            "probgen.estimators.gumbel_softmax:GumbelSoftmax",
            options=(
                Option("temperature", "float", 1.0, "Temperature at the first step.", minimum=1e-4),
                Option(
                    "final_temperature", "float", None, "Temperature after annealing; none to keep the first.", minimum=1e-4
                ),
                Option("anneal_steps", "int", 10_000, "Steps from one temperature to the other.", minimum=1),
                Option(
                    "hard", "bool", default=False, help="Go on with discrete values, and differentiate the relaxed ones."
                ),
                _particles(1),
                _ANALYTIC_KL,
            ),
            reference="Jang, Gu & Poole (2017), arXiv:1611.01144; Maddison, Mnih & Teh (2017), arXiv:1611.00712.",
        ),
        EstimatorSpec(
            "iwae",
            "Importance-weighted bound of a model with continuous latents.",
            "probgen.estimators.iwae:IWAE",
            options=(
                _particles(5),
                Option(
                    "gradient",
                    "str",
                    "pathwise",
                    "Whole gradient, doubly reparameterised, or sticking the landing.",
                    choices=("pathwise", "dreg", "stl"),
                ),
            ),
            reference="Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519; Tucker et al. (2019), arXiv:1810.04152.",
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
            "rebar",
            "Evidence lower bound of discrete latents by score functions, with a relaxation as control variate.",
            "probgen.estimators.relax:REBAR",
            options=(
                _particles(1),
                _LEARNED_TEMPERATURE,
                Option("scale", "float", 1.0, "Scale of the control variate at the start; it is learned."),
            ),
            reference="Tucker et al. (2017), arXiv:1703.07370.",
        ),
        EstimatorSpec(
            "reinforce",
            "Evidence lower bound by score functions, for discrete latents; with baselines, up to NVIL.",
            "probgen.estimators.reinforce:REINFORCE",
            options=(
                _particles(2),
                Option(
                    "baseline",
                    "str",
                    "leave-one-out",
                    "What is subtracted from a learning signal; leave-one-out takes two particles or more.",
                    choices=("none", "moving-average", "learned", "leave-one-out"),
                ),
                Option("centred", "bool", default=False, help="Subtract a moving average of what the baseline leaves."),
                Option(
                    "normalise_variance",
                    "bool",
                    default=False,
                    help="Divide signals by their moving standard deviation if above 1, which rescales the gradient.",
                ),
            ),
            reference="Williams (1992); Ranganath et al. (2014), arXiv:1401.0118; Mnih & Gregor (2014), arXiv:1402.0030.",
        ),
        EstimatorSpec(
            "relax",
            "Evidence lower bound of discrete latents by score functions, with a learned control variate.",
            "probgen.estimators.relax:RELAX",
            options=(
                _particles(1),
                _LEARNED_TEMPERATURE,
                Option("scale", "float", 1.0, "Scale of the relaxed part at the start; it is learned."),
                Option("hidden", "ints", (100,), "Width of each hidden layer of the network.", minimum=1),
            ),
            reference="Grathwohl et al. (2018), arXiv:1711.00123.",
        ),
        EstimatorSpec(
            "reweighted-wake-sleep",
            "Likelihood's gradient by importance weights, and the guide's by the same or by dreams.",
            "probgen.estimators.reweighted_wake_sleep:ReweightedWakeSleep",
            options=(
                _particles(5),
                Option("wake_guide", "bool", default=True, help="Fit the guide to weighted draws from itself."),
                Option("sleep_guide", "bool", default=False, help="Fit the guide to what the model dreams."),
            ),
            reference="Bornschein & Bengio (2015), arXiv:1406.2751.",
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
        EstimatorSpec(
            "site-strategies",
            "Evidence lower bound with a strategy for each latent; by default a sum over all values of discrete ones.",
            "probgen.estimators.site_strategies:SiteStrategies",
            options=(
                Option(
                    "discrete",
                    "str",
                    "enumerate",
                    "What is done about discrete latents; reinforce has a leave-one-out baseline from two particles on.",
                    choices=("enumerate", "reinforce"),
                ),
                Option("num_particles", "int", 1, "Draws of the latents that are not enumerated.", minimum=1),
                Option("max_assignments", "int", 4096, "Joint values of the enumerated latents to take at most.", minimum=1),
            ),
            reference="Schulman et al. (2015), arXiv:1506.05254.",
        ),
        EstimatorSpec(
            "straight-through",
            "Evidence lower bound of discrete latents differentiated as if they were their means.",
            "probgen.estimators.straight_through:StraightThrough",
            options=(
                _particles(1),
                _ANALYTIC_KL,
            ),
            reference="Bengio, Léonard & Courville (2013), arXiv:1308.3432.",
        ),
        EstimatorSpec(
            "variational-diffusion",
            "Variational bound of a diffusion model in discrete time, at one random step for each example.",
            "probgen.estimators.variational_diffusion:VariationalDiffusion",
            reference="Sohl-Dickstein et al. (2015), arXiv:1503.03585; Ho, Jain & Abbeel (2020), arXiv:2006.11239.",
        ),
        EstimatorSpec(
            "vimco",
            "Importance-weighted bound by score functions, for discrete latents.",
            "probgen.estimators.vimco:VIMCO",
            options=(_particles(5, minimum=2),),
            reference="Mnih & Rezende (2016), arXiv:1602.06725.",
        ),
        EstimatorSpec(
            "wake-sleep",
            "Model fitted to data by its guide, guide fitted to what the model dreams.",
            "probgen.estimators.wake_sleep:WakeSleep",
            reference="Hinton, Dayan, Frey & Neal (1995), Science 268.",
        ),
    ]


@hookimpl
def probgen_data() -> list[DataSpec]:
    """Return the core's data sets."""
    return list(DATA_SPECS)

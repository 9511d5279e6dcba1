"""Adversarial training as an estimator: its phases, its critic, its state, its options; and that it trains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from helpers.draws import flat_gradient
from helpers.games import Listed, estimate_of
from probgen import Adversarial, Batch, ConfigurationError, Reparameterized, ShapeError, build_estimator, fit
from probgen.estimator import parameters_of
from probgen.estimators.adversarial_losses import (
    BEGAN,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
)
from probgen.estimators.adversarial_penalties import AroundData, Between, GradientPenalty
from probgen.estimators.critics import AutoencodingCritic, Critic
from probgen.nn import MLP
from probgen.plugin import registry

LOSSES = [Minimax(), NonSaturating(), Wasserstein(), LeastSquares(), Hinge(), BEGAN()]
WORDS = next(option.choices for option in registry().estimator("adversarial").spec.options if option.name == "loss")


class Generator(nn.Module, Reparameterized):
    """Maps normal noise, next to the context, to events of any shape."""

    def __init__(self, event_shape=(2,), context_shape=None, hidden=(16,)):
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = torch.distributions.constraints.real
        known = 0 if context_shape is None else self.context_shape.numel()
        self.net = MLP((4 + known, *hidden, self.event_shape.numel()), activation="relu")

    def _rsample(self, n, context):
        noise = torch.randn(n, 4)
        seen = noise if context is None else torch.cat([noise, context.reshape(n, -1).to(noise.dtype)], 1)
        return self.net(seen).reshape(n, *self.event_shape)


def started(estimator, model, batch):
    estimator.initialize(model, batch)
    return estimator


class TestPhases:
    def test_each_trains_its_own_parameters(self):
        model, batch = Generator(), Batch(torch.randn(7, 2))
        estimator = started(Adversarial(critic_steps=5, loss=Wasserstein(clip=0.2)), model, batch)
        critic, generator = estimator.phases(model)
        assert (critic.name, critic.repeats, generator.name, generator.repeats) == ("critic", 5, "generator", 1)
        assert critic.parameters.keys() == {f"critic.{name}" for name in parameters_of(estimator.learned)}
        assert generator.parameters.keys() == parameters_of(model).keys()
        estimate = critic(model, batch, {})
        assert flat_gradient(generator, estimate.surrogate).abs().max() == 0  # the draws are constants to the critic
        assert flat_gradient(critic, estimate.surrogate).abs().max() > 0
        assert flat_gradient(generator, generator(model, batch, {}).surrogate).abs().max() > 0

    @pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
    def test_each_claims_something_of_its_parameters(self, loss):
        claims = Adversarial(loss=loss).claims
        assert str(claims.for_value("critic")[0]) == f"unbiased for {loss.name}"
        assert str(*claims.for_value("generator")) == f"unbiased for {loss.generator_name}"
        assert str(claims.for_parameter("critic.head.weight")) == f"unbiased for grad:{loss.name}"
        assert str(claims.for_parameter("net.0.weight")) == f"unbiased for grad:{loss.generator_name}"

    @pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
    @pytest.mark.parametrize("phase", ["critic", "generator"])
    def test_it_runs_without_gradients(self, loss, phase):
        model, batch = Generator(), Batch(torch.randn(7, 2))
        estimator = started(Adversarial(loss=loss, penalty=GradientPenalty()), model, batch)
        with torch.no_grad():
            estimate, _ = estimate_of(estimator, model, batch, phase)
        assert estimate.value.shape == (7,)
        assert not estimate.surrogate.requires_grad

    @pytest.mark.parametrize(("loss", "calls"), [(NonSaturating(), 1), (Wasserstein(), 1), (BEGAN(), 2)])
    def test_the_generators_phase_scores_data_only_if_the_game_asks(self, loss, calls):
        seen = []

        class Counting(nn.Linear):
            def forward(self, input):
                seen.append(input)
                return super().forward(input)

        model, batch = Generator(), Batch(torch.randn(7, 2))
        critic = Counting(2, 2 if isinstance(loss, BEGAN) else 1)
        estimate_of(Adversarial(loss=loss, critic=critic), model, batch, "generator")
        assert [bool(torch.equal(x, batch.x)) for x in seen] == [False, True][:calls]

    def test_clipping_follows_the_critics_step_and_spares_the_generator(self):
        model, batch = Generator(), Batch(torch.randn(7, 2))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        estimator = started(Adversarial(loss=Wasserstein(clip=0.02)), model, batch)
        critic, generator = estimator.phases(model)
        with torch.no_grad():
            critic.after_step()
        largest = max(parameter.abs().max().item() for parameter in estimator.learned.parameters())
        assert largest == pytest.approx(0.02)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert generator.after_step is None
        assert started(Adversarial(loss=Wasserstein(clip=None)), model, batch).phases(model)[0].after_step is None


class TestCritics:
    @pytest.mark.parametrize("event_shape", [(), (3,), (5, 2), (1, 8, 8), (3, 9, 7), (2, 3, 3)])
    @pytest.mark.parametrize("context_shape", [None, (), (4,)])
    @pytest.mark.parametrize(("loss", "kind"), [(NonSaturating(), Critic), (BEGAN(), AutoencodingCritic)])
    def test_the_default_one_fits_events_and_contexts(self, event_shape, context_shape, loss, kind):
        model = Generator(event_shape, context_shape)
        context = None if context_shape is None else torch.ones(6, *context_shape)
        batch = Batch(torch.randn(6, *event_shape), context=context)
        estimator = started(Adversarial(loss=loss), model, batch)
        assert type(estimator.learned) is kind
        for phase in ("critic", "generator"):
            estimate, chosen = estimate_of(estimator, model, batch, phase)
            assert estimate.value.shape == (6,)
            assert flat_gradient(chosen, estimate.surrogate).abs().max() > 0

    @pytest.mark.parametrize("critic", [Critic((2,), context_shape=(3,)), AutoencodingCritic((2,), context_shape=(3,))])
    def test_the_default_one_sees_the_context(self, critic):
        x = torch.randn(5, 2)
        assert not torch.equal(critic(x, torch.zeros(5, 3)), critic(x, torch.ones(5, 3)))

    @pytest.mark.parametrize("loss", ["non-saturating", "began"])
    @pytest.mark.parametrize("event_shape", [(2,), (1, 8, 8)])
    def test_hidden_layers_that_are_asked_for_make_it_dense(self, loss, event_shape):
        estimator = build_estimator("adversarial", loss=loss, critic_hidden="7,5")
        model, batch = Generator(event_shape), Batch(torch.randn(6, *event_shape))
        critic = started(estimator, model, batch).learned
        layers = [module for module in critic.modules() if isinstance(module, nn.Linear)]
        assert [layer.out_features for layer in layers[:2]] == [7, 5]
        assert not any(isinstance(module, nn.Conv2d) for module in critic.modules())
        assert estimate_of(estimator, model, batch)[0].value.shape == (6,)

    def test_it_tells_events_on_a_ray_apart_from_the_start(self):
        x = torch.tensor([[0.5, 0.5], [1.0, 1.0], [1.5, 1.5]])
        near, middle, far = Critic((2,))(x)
        assert (near + far - 2 * middle).abs() > 1e-4  # without biases the scores lie on a line

    def test_draws_are_at_the_examples_contexts(self):
        seen = []

        class Asked(Generator):
            def _rsample(self, n, context):
                seen.append(context)
                return super()._rsample(n, context)

        model, batch = Asked(context_shape=(3,)), Batch(torch.randn(4, 2), context=torch.randn(4, 3))
        estimate_of(started(Adversarial(), model, batch), model, batch)
        assert torch.equal(seen[0], batch.context)

    def test_one_that_is_given_stays_and_a_default_one_is_built_for_each_model(self):
        given, batch = nn.Linear(2, 1), Batch(torch.randn(4, 2))
        assert started(Adversarial(critic=given), Generator(), batch).learned is given
        estimator = started(Adversarial(), Generator(), batch)
        first = estimator.learned
        assert started(estimator, Generator((5,)), Batch(torch.randn(4, 5))).learned is not first

    def test_it_computes_in_the_precision_of_the_data(self):
        events = torch.randn(4, 2, dtype=torch.float64)
        estimator = started(Adversarial(), Listed(events), Batch(events))
        assert estimate_of(estimator, Listed(events), Batch(events))[0].value.dtype == torch.float64

    @pytest.mark.parametrize(
        ("estimator", "coupled"),
        [
            (Adversarial(), False),
            (Adversarial(penalty=GradientPenalty()), False),
            (Adversarial(penalty=GradientPenalty(where=AroundData())), True),
            (Adversarial(loss=BEGAN()), True),
            (Adversarial(critic=nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))), True),
        ],
    )
    def test_what_couples_examples_is_said(self, estimator, coupled):
        assert estimator.batch_coupled is coupled

    def test_before_there_is_one_phases_are_refused(self):
        assert Adversarial().learned is None
        with pytest.raises(ConfigurationError, match="Call initialize first"):
            Adversarial().phases(Generator())

    def test_a_critic_without_one_score_an_event_is_refused(self):
        estimator = Adversarial(critic=nn.Linear(2, 3))
        with pytest.raises(ShapeError, match=r"one score for each event, \(4,\); got \(4, 3\)"):
            estimate_of(estimator, Generator(), Batch(torch.zeros(4, 2)))

    @pytest.mark.parametrize(
        "options", [{"critic_steps": 0}, {"critic": torch.tanh}, {"critic_hidden": ()}, {"critic_hidden": (0,)}]
    )
    def test_wrong_options_are_refused(self, options):
        with pytest.raises(ConfigurationError, match="Adversarial: expected"):
            Adversarial(**options)


class TestShell:
    def test_words_become_objects(self):
        kinds = {word: type(build_estimator("adversarial", loss=word).loss) for word in WORDS}
        assert kinds == {
            "minimax": Minimax,
            "non-saturating": NonSaturating,
            "wasserstein": Wasserstein,
            "wasserstein-gp": Wasserstein,
            "least-squares": LeastSquares,
            "hinge": Hinge,
            "dragan": NonSaturating,
            "began": BEGAN,
        }

    def test_penalties_come_with_the_games_that_need_them(self):
        clipped = build_estimator("adversarial", loss="wasserstein", clip="0.1")
        assert clipped.loss.clip == 0.1
        assert clipped.penalty is None
        penalised = build_estimator("adversarial", loss="wasserstein-gp", critic_steps="5")
        assert penalised.loss.clip is None
        assert penalised.critic_steps == 5
        assert penalised.penalty == GradientPenalty(weight=10.0, where=Between())
        dragan = build_estimator("adversarial", loss="dragan", penalty_weight=3)
        assert dragan.penalty == GradientPenalty(weight=3.0, where=AroundData())
        assert build_estimator("adversarial", loss="hinge", penalty_weight=3).penalty == GradientPenalty(weight=3.0)
        assert build_estimator("adversarial", loss="dragan", penalty_weight=0).penalty is None


class TestTraining:
    @pytest.mark.parametrize("word", WORDS)
    def test_every_game_is_played_and_resumed_bit_for_bit(self, word, tmp_path):
        def model():
            torch.manual_seed(0)
            return Generator()

        options = {"steps": 6, "batch_size": 50, "checkpoint_every": 3, "validate_every": 3}

        def estimator():
            return build_estimator("adversarial", loss=word, critic_steps=2)

        whole = fit(model(), "moons", estimator(), run_dir=tmp_path / "whole", **options).model

        class Stop(Exception):
            pass

        def interrupt(event):
            if event.kind == "checkpoint":
                raise Stop

        with pytest.raises(Stop):
            fit(model(), "moons", estimator(), run_dir=tmp_path / "half", callbacks=[interrupt], **options)
        half = fit(model(), "moons", estimator(), run_dir=tmp_path / "half", resume=True, **options).model
        for mine, its in zip(half.state_dict().values(), whole.state_dict().values(), strict=True):
            assert torch.equal(mine, its)

    @pytest.mark.parametrize("word", ["non-saturating", "wasserstein-gp", "hinge"])
    def test_draws_move_onto_the_data(self, word):
        torch.manual_seed(0)
        model = Generator()
        x = 0.3 * torch.randn(500, 2) + torch.tensor([2.0, -1.0])
        estimator = build_estimator("adversarial", loss=word, critic_steps=3)
        fit(model, x, estimator, steps=300, batch_size=64, learning_rate=2e-3)
        assert (model.sample((2000,)).mean(0) - torch.tensor([2.0, -1.0])).abs().max() < 0.6

    @pytest.mark.parametrize("word", WORDS)
    def test_every_game_is_played_in_mixed_precision(self, word):
        estimator = build_estimator("adversarial", loss=word, penalty_weight=1.0)
        result = fit(Generator(), torch.randn(40, 2), estimator, steps=2, batch_size=20, precision="bfloat16")
        assert all(parameter.isfinite().all() for parameter in result.model.parameters())


def test_a_loss_by_name_is_refused_where_objects_are_meant():
    with pytest.raises(ConfigurationError, match=r"got 'wasserstein-gp'\. Names of losses are for Adversarial\.build"):
        Adversarial(loss="wasserstein-gp")

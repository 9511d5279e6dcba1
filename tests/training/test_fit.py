"""What one trainer does for any estimator: budgets, selection, averaging, non-finite numbers, callbacks."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from helpers import toys
from probgen import (
    ELBO,
    CapabilityError,
    ConfigurationError,
    DataError,
    Density,
    Estimate,
    Estimator,
    MaximumLikelihood,
    NonFiniteError,
    Objective,
    Phase,
    Sampler,
    fit,
)
from probgen.claims import Claims, Heuristic
from probgen.estimator import parameters_of
from probgen.training import OptimizerSettings, Recipe, Stage


@pytest.mark.parametrize("name", toys.NAMES)
def test_toys_train(name):
    model, recipe = toys.make(name)
    result = fit(model, toys.data(name), recipe=recipe)
    assert sum(result.steps.values()) == 60
    assert not model.training


def test_the_boltzmann_machine_learns():
    model, recipe = toys.make("rbm")
    x = toys.data("rbm")
    before = (-model.energy(x) - toys.exact_log_partition(model)).mean()
    fit(model, x, recipe=recipe, steps=300)
    after = (-model.energy(x) - toys.exact_log_partition(model)).mean()
    assert after > before + 0.1


def test_each_stage_trains_its_own_part():
    model, recipe = toys.make("stages")
    decoder = []
    fit(
        model,
        toys.data("stages"),
        recipe=recipe,
        callbacks=[lambda event: decoder.append(model.decoder.weight.clone()) if event.kind == "stage-end" else None],
    )
    assert torch.equal(decoder[0], decoder[1])
    assert not torch.equal(model.prior.loc, torch.zeros(2))


class Mute(nn.Module, Sampler):
    """Draws without gradients, and scores nothing."""

    event_shape, context_shape, support = torch.Size([2]), None, constraints.real

    def _sample(self, n, context):
        return torch.randn(n, 2)


def gaussian(features=2):
    return toys.DiagonalGaussian(features)


X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 2 + 1


def test_maximum_likelihood_reaches_the_sample_moments():
    model = gaussian()
    data = X.clone()
    fit(model, data, MaximumLikelihood(), steps=600, batch_size=200, learning_rate=0.05, schedule="cosine")
    from probgen import as_source

    view = as_source(data).view("raw").split("train")
    train = view.batch(torch.arange(len(view))).x
    torch.testing.assert_close(model.loc.detach(), train.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(model.log_scale.detach().exp(), train.std(0, correction=0), atol=1e-3, rtol=0)


def test_the_same_seed_gives_the_same_weights_whatever_is_logged_or_validated():
    ends = []
    for changes in ({}, {"log_every": 1, "validate_every": 2}, {"callbacks": [lambda event: torch.randn(3)]}):
        model = gaussian()
        torch.manual_seed(len(ends))
        fit(model, X, MaximumLikelihood(), steps=25, batch_size=16, **changes)
        ends.append(model.loc.detach())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_another_seed_gives_other_weights():
    ends = []
    for seed in (0, 1):
        model = gaussian()
        fit(model, X, MaximumLikelihood(), steps=25, batch_size=16, seed=seed)
        ends.append(model.loc.detach())
    assert not torch.equal(*ends)


def test_the_callers_random_stream_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(gaussian(), X, MaximumLikelihood(), steps=3)
    assert torch.equal(before, torch.get_rng_state())


def test_epochs_and_the_smaller_last_batch():
    seen = []

    class Watched(MaximumLikelihood):
        def phases(self, model):
            def estimate(model, batch, state):
                if torch.is_grad_enabled():
                    seen.append(batch.index.tolist())
                scores = model.log_prob(batch.x)
                return Estimate(-scores.mean(), scores.detach())

            return [Phase("main", parameters_of(model), estimate)]

    result = fit(gaussian(), X[:50], Watched(), epochs=2, batch_size=15)
    assert result.steps == {"main": 6}
    assert [len(batch) for batch in seen] == [15, 15, 10, 15, 15, 10]
    first, second = ([row for batch in epoch for row in batch] for epoch in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


class SharedGradients(nn.Module, Density):
    """Autograd hands out one tensor, or one number expanded, for several of these parameters."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([2]), None, constraints.real
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        self.turned, self.spread = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(3, 2))

    def _log_prob(self, x, context):
        factor = torch.arange(6.0).reshape(3, 2)
        return (x * 0).sum(-1) + (self.a + self.b).sum() + (self.turned.permute(1, 0) * factor).sum() + self.spread.sum()


@pytest.mark.parametrize("clip", [None, 1e-2])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_gradients_of_any_layout_are_followed(clip, name):
    """Fused optimisers read a gradient with its parameter's strides, whatever its own are."""
    model = SharedGradients()
    settings = {"*": OptimizerSettings(name=name, learning_rate=0.1, betas=(0.0, 0.0), clip_norm=clip)}
    fit(model, X, recipe=Recipe((Stage(MaximumLikelihood(), optimizers=settings, steps=1),)))
    gradient = {
        "a": torch.ones(2),
        "b": torch.ones(2),
        "turned": torch.arange(6.0).reshape(3, 2).T,
        "spread": torch.ones(3, 2),
    }
    norm = torch.cat([each.flatten() for each in gradient.values()]).norm()
    scale = 1.0 if clip is None else clip / norm
    for key, value in gradient.items():
        expected = 0.1 * (value * scale if name == "sgd" else value.sign())
        torch.testing.assert_close(getattr(model, key).detach(), expected, atol=1e-5, rtol=1e-3)


def test_a_trained_part_is_left_alone_by_the_stage_after_it():
    model, recipe = toys.make("stages")
    model.encoder = nn.Sequential(nn.BatchNorm1d(6), model.encoder)
    buffers = []
    look = [lambda event: buffers.append(model.encoder[0].running_mean.clone()) if event.kind == "stage-end" else None]
    fit(model, toys.data("stages"), recipe=recipe, callbacks=look)
    assert not torch.equal(buffers[0], torch.zeros(6))
    assert torch.equal(buffers[0], buffers[1])


def test_early_stopping_keeps_the_best_weights():
    model = gaussian()
    result = fit(
        model, X, MaximumLikelihood(), steps=4000, learning_rate=0.5, batch_size=5, patience=3, validate_every=5, seed=3
    )
    valid = [row.value for row in result.history if row.split == "valid" and row.name == "value"]
    assert result.steps["main"] < 4000
    assert valid[-1] <= max(valid)
    from probgen import as_source

    split = as_source(X).view("raw").split("valid")
    scores = model.log_prob(split.batch(torch.arange(len(split))).x)
    assert scores.mean().item() == pytest.approx(max(valid), abs=1e-5)


def test_a_game_needs_a_metric_for_patience():
    model, recipe = toys.make("gan")
    with pytest.raises(ConfigurationError, match="plays a game"):
        fit(model, toys.data("gan"), recipe=recipe, patience=2)


def test_the_average_of_the_weights_is_the_result():
    plain, averaged = gaussian(), gaussian()
    fit(plain, X + 50, MaximumLikelihood(), steps=30, learning_rate=0.1)
    fit(averaged, X + 50, MaximumLikelihood(), steps=30, learning_rate=0.1, ema=0.99)
    assert (averaged.loc > 0).all()
    assert (averaged.loc < plain.loc).all()  # on the way up, an average lags behind


def test_clipping_bounds_the_step():
    model = gaussian()
    settings = {"*": OptimizerSettings(name="sgd", learning_rate=1.0, betas=(0.0, 0.0), clip_norm=1e-3)}
    fit(model, X * 100, recipe=Recipe((Stage(MaximumLikelihood(), optimizers=settings, steps=1),)))
    moved = torch.cat([model.loc, model.log_scale]).norm().item()
    assert moved == pytest.approx(1e-3, rel=1e-3)


class Exploding(nn.Module, Density):
    """A density whose score overflows once its parameter has moved."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([2]), None, constraints.real
        self.loc = nn.Parameter(torch.zeros(()))

    def _log_prob(self, x, context):
        return -(x - self.loc).square().sum(-1) / (self.loc.abs() < 0.05).to(x.dtype)


def test_a_non_finite_loss_names_step_phase_and_checkpoint(tmp_path):
    model = Exploding()
    with pytest.raises(
        NonFiniteError, match=r"phase 'main'.*at step \d+\. Stage 'main'; the last good checkpoint is"
    ) as error:
        fit(model, X, MaximumLikelihood(), steps=100, learning_rate=1e-2, run_dir=tmp_path, checkpoint_every=1)
    assert error.value.exit_code == 1
    assert math.isfinite(model.loc.item())


def test_an_estimator_that_does_not_fit_says_so_first():
    with pytest.raises(CapabilityError, match=r"ELBO needs a LatentVariable; DiagonalGaussian is a Density\. .*maximum-lik"):
        fit(gaussian(), X, ELBO())


def test_data_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"events of shape \(3,\)"):
        fit(gaussian(3), X, MaximumLikelihood())


def test_a_model_without_a_recipe_is_trained_by_what_scores_it():
    model = gaussian()
    fit(model, X, steps=3)
    assert not torch.equal(model.loc, torch.zeros(2))


def test_a_model_that_nothing_scores_needs_an_estimator():
    with pytest.raises(
        ConfigurationError, match=r"no plugin gives a recipe .*; got none.*Those that fit: contrastive-divergence"
    ):
        fit(toys.SmallRBM(), toys.data("rbm"))


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 5, "epochs": 1}, "steps or epochs"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"ema": 1.0}, "ema"),
        ({"precision": "half"}, "precision"),
        ({"device": "abacus"}, "device"),
        ({"schedule": "zigzag"}, "schedule"),
    ],
)
def test_settings_out_of_range(option, match):
    with pytest.raises(ConfigurationError, match=match):
        fit(gaussian(), X, MaximumLikelihood(), **{"steps": 2, **option})


class Stray(Estimator):
    """The wrong twin of an estimator that learns something: it hides its module from the checkpoint."""

    objective = Objective("none", "nats", "minimise")

    def __init__(self):
        self._hidden = nn.Linear(1, 1)

    @property
    def claims(self):
        return Claims(value=Heuristic("none"), gradient={"*": Heuristic("none")})

    def phases(self, model):
        return [
            Phase("main", parameters_of(self._hidden), lambda model, batch, state: Estimate(batch.x.sum(), batch.x.sum()))
        ]


def test_parameters_that_no_checkpoint_would_hold_are_refused():
    with pytest.raises(ConfigurationError, match="Put its module into `learned`"):
        fit(gaussian(), X, Stray(), steps=1)


class Mean(Estimator):
    """An estimator that updates without gradients: the closed-form mean, by moving averages in its state."""

    requires = (Density,)
    objective = Objective("log-likelihood", "nats", "maximise")

    @property
    def claims(self):
        return Claims(value=Heuristic("an M-step"), gradient={"*": Heuristic("an M-step")})

    def initial_state(self, model, batch):
        return {"sum": torch.zeros(2), "count": torch.zeros(())}

    def phases(self, model):
        return [Phase("m-step", parameters_of(model), update=self._update)]

    def _update(self, model, batch, state):
        total, count = state["sum"] + batch.x.sum(0), state["count"] + len(batch)
        model.loc.copy_(total / count)
        value = model.log_prob(batch.x)
        return Estimate(-value.mean(), value, state={"sum": total, "count": count})


def test_an_update_phase_without_gradients():
    model = gaussian()
    fit(model, X, Mean(), epochs=1, batch_size=32)
    from probgen import as_source

    split = as_source(X).view("raw").split("train")
    torch.testing.assert_close(model.loc.detach(), split.batch(torch.arange(len(split))).x.mean(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "meant"), [("lr", "learning_rate"), ("batchsize", "batch_size"), ("num_epochs", "epochs")])
def test_a_keyword_that_there_is_not_is_answered_with_the_one_that_was_meant(name, meant):
    with pytest.raises(ConfigurationError, match=f"got '{name}'. Did you mean '{meant}'"):
        fit(gaussian(), torch.randn(20, 2), MaximumLikelihood(), **{name: 1})


def test_a_model_that_nothing_trains_says_what_it_is():
    with pytest.raises(ConfigurationError, match="None that is installed fits: it is a Sampler"):
        fit(Mute(), torch.randn(20, 2))

"""Training by graphs: chosen by counts, kept over a resume, with state in one precision, and tied weights by any name."""

import pytest
import torch
from torch import nn

from probgen import Batch, Density, Estimate, Estimator, MaximumLikelihood, Objective, Phase, Recipe, Stage, fit
from probgen.claims import Claims, Exact
from probgen.estimator import parameters_of
from probgen.execution import policy


class Crashed(Exception):
    """What stops a run in these tests."""


class Layers(nn.Module, Density):
    """A Gaussian around a random linear map of ones; both layers share their weight."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([3]), None
        self.support = torch.distributions.constraints.real
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def _log_prob(self, x, context):
        coins = torch.bernoulli(torch.full_like(x, 0.3))
        return torch.distributions.Normal(self.second(self.first(coins)), 1.0).log_prob(x).sum(-1)


class Weighted(Estimator):
    """Log-likelihood times a weight; its state is what the model's first layer makes of the batch."""

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    def __init__(self, weight=1.0):
        self.weight = weight

    @property
    def claims(self):
        return Claims(value=Exact("log_prob"), gradient={"*": Exact("grad:log_prob")})

    def initial_state(self, model, batch):
        return {"seen": torch.zeros(3)}

    def phases(self, model):
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model, batch, state):
        value = model.log_prob(batch.x)
        seen = model.first(batch.x + state["seen"]).mean(0).detach()
        return Estimate(-self.weight * value.mean(), value.detach(), state={"seen": seen})


DATA = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def weight_before(step):
    """Return the weight that the step after `step` others is taken with: a new one at each from the fourth on."""
    return float(max(0, step - 3))


@pytest.fixture
def chosen(monkeypatch):
    """Let short runs be recorded, and list how each step was run."""
    monkeypatch.setattr(policy, "_WORTH_RECORDING", 10)
    ways = []
    run = policy.PhaseExecution.__call__

    def noted(self, batch, state):
        results = run(self, batch, state)
        ways.append(self.chosen)
        return results

    monkeypatch.setattr(policy.PhaseExecution, "__call__", noted)
    return ways


def train(folder, *, begun=0, crash_after=None):
    torch.manual_seed(0)
    model, estimator = Layers(), Weighted(weight_before(begun))

    def change(event):
        if event.kind == "log":
            estimator.weight = weight_before(event.step)
            if event.step == crash_after:
                raise Crashed

    options = {"steps": 20, "batch_size": 10, "log_every": 1, "checkpoint_every": 6, "device": "cpu"}
    fit(model, DATA, estimator, **options, callbacks=[change], run_dir=folder, resume=True, progress=False)
    return model.state_dict()


@pytest.mark.filterwarnings("ignore:fit. phase 'main' runs as it is written")
@pytest.mark.parametrize("crash_after", [8, 14, 17])
def test_a_run_that_gives_up_recording_gives_up_at_the_same_step_when_resumed(tmp_path, chosen, crash_after):
    whole = train(tmp_path / "whole")
    ways = list(chosen)
    assert ways == ["graph"] * ways.count("graph") + ["eager"] * ways.count("eager")
    assert 8 < ways.count("graph") < 14
    with pytest.raises(Crashed):
        train(tmp_path / "killed", crash_after=crash_after)
    chosen.clear()
    begun = 6 * (crash_after // 6)
    resumed = train(tmp_path / "killed", begun=begun)
    assert chosen == ways[begun:]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_short_runs_are_not_recorded_and_long_ones_are(chosen, monkeypatch):
    for steps in (9, 10):
        fit(Layers(), DATA, MaximumLikelihood(), steps=steps, batch_size=10, device="cpu")
    assert chosen == ["eager"] * 9 + ["graph"] * 10


def test_a_run_says_once_how_it_runs(chosen, capsys):
    fit(Layers(), DATA, MaximumLikelihood(), steps=10, batch_size=10, device="cpu", progress=True)
    assert capsys.readouterr().err.count("main: main from a recorded graph") == 1


@pytest.mark.parametrize("execution", ["eager", "graph"])
def test_state_keeps_its_precision(execution):
    """A layer under automatic mixed precision returns bfloat16; validation is in single precision and reads it."""
    model = Layers()
    seen = set()

    class Watching(Weighted):
        def _estimate(self, model, batch, state):
            seen.add(state["seen"].dtype)
            return super()._estimate(model, batch, state)

    fit(model, DATA, Watching(), steps=3, batch_size=10, precision="bfloat16", execution=execution, device="cpu")
    assert seen == {torch.float32}


@pytest.mark.parametrize("pattern", ["first.weight", "second.weight"])
def test_a_tied_weight_is_trained_by_either_name(pattern):
    torch.manual_seed(0)
    model = Layers()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recipe = Recipe([Stage(name="main", estimator=MaximumLikelihood(), steps=2, train=[pattern])])
    fit(model, DATA, recipe=recipe, device="cpu")
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"first.weight", "second.weight"}


def test_an_empty_history_is_that_of_a_new_phase():
    model = Layers()
    [phase] = MaximumLikelihood().phases(model)
    parameters = list(phase.parameters.values())
    run = policy.PhaseExecution(phase, model, MaximumLikelihood(), parameters, execution="graph", runs=1)
    assert run.history() == {"chosen": "graph", "recorded": {"runs": 0, "recordings": 0, "known": []}}
    run(Batch(DATA), {})
    assert run.history()["recorded"]["recordings"] == 1

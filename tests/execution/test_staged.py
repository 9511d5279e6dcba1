"""Phases as graphs: the same results bit for bit, recorded anew when something changes, refused where they cannot be."""

import random
import warnings

import pytest
import torch
from torch import nn

from probgen import Batch, Density, Estimate, Estimator, MaximumLikelihood, Objective, Phase, Sampler, fit
from probgen.claims import Claims, Exact
from probgen.errors import ConfigurationError, StagingError
from probgen.estimator import parameters_of
from probgen.execution import PhaseExecution, StagedPhase
from probgen.execution.eager import EagerPhase


class Line(nn.Module, Density, Sampler):
    """A Gaussian whose mean passes through layers with weights that are tied, noise, and running statistics."""

    def __init__(self, *, running=False):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([3]), None
        self.support = torch.distributions.constraints.real
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(3) if running else nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(()))

    def _log_prob(self, x, context):
        self.seen = self.seen + len(x)  # bound anew, not changed in place
        mean = self.second(self.norm(self.first(torch.ones_like(x) + torch.randn_like(x))).tanh())
        return torch.distributions.Normal(mean, 1.0).log_prob(x).sum(-1)

    def _sample(self, n, context):
        return torch.randn(n, 3)


class Weighted(Estimator):
    """Log-likelihood times a weight that is an attribute, with a count as state."""

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    def __init__(self, weight=1.0, trouble=None):
        self.weight = weight
        self.trouble = trouble

    @property
    def claims(self):
        return Claims(value=Exact("log_prob"), gradient={"*": Exact("grad:log_prob")})

    def initial_state(self, model, batch):
        return {"count": torch.zeros(())}

    def phases(self, model):
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model, batch, state):
        value = model.log_prob(batch.x)
        if self.trouble is not None:
            value = self.trouble(self, value)
        return Estimate(
            -self.weight * value.mean(),
            value.detach(),
            state={"count": state["count"] + 1},
            info={"size": value.sum().detach()},
        )


def pieces(estimator, model, **options):
    torch.manual_seed(0)
    [phase] = estimator.phases(model)
    parameters = list(phase.parameters.values())
    eager = EagerPhase(phase, model, parameters)
    return eager, StagedPhase(phase, model, estimator, parameters, rewrites=False, **options)


def both(eager, staged, model, batch, state):
    """Return what the program and its graph give from the same weights, buffers and draws."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    answers = []
    for run in (eager, staged):
        model.load_state_dict(before)
        torch.manual_seed(7)
        results = run(batch, state)
        buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
        answers.append((results, buffers, torch.rand(())))
    return answers


def assert_same(one, other):
    (first, buffers, draw), (second, others, another) = one, other
    for expected, got in zip(first.gradients, second.gradients, strict=True):
        assert (expected is None and got is None) or torch.equal(expected, got)
    assert torch.equal(first.estimate.value, second.estimate.value)
    assert torch.equal(first.estimate.surrogate.detach(), second.estimate.surrogate)
    for mine, its in ((first.estimate.state, second.estimate.state), (first.estimate.info, second.estimate.info)):
        assert mine.keys() == its.keys()
        assert all(torch.equal(mine[name], its[name]) for name in mine)
    assert all(torch.equal(buffers[name], others[name]) for name in buffers)
    assert draw == another, "the graph draws as often as the program"


@pytest.mark.parametrize("running", [False, True], ids=["dropout", "batch-norm"])
def test_bit_for_bit(running):
    model, estimator = Line(running=running).train(), Weighted()
    eager, staged = pieces(estimator, model)
    state = {"count": torch.tensor(4.0)}
    for n in (5, 2, 5):  # a short last batch is recorded by itself
        assert_same(*both(eager, staged, model, Batch(torch.randn(n, 3)), state))
    assert model.seen == 5 + 2 + 5


def test_learning_in_place_is_seen():
    model, estimator = Line().train(), Weighted()
    eager, staged = pieces(estimator, model)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    staged(batch, state)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    assert_same(*both(eager, staged, model, batch, state))


def test_a_changed_attribute_is_recorded_anew():
    model, estimator = Line().train(), Weighted()
    eager, staged = pieces(estimator, model)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    staged(batch, state)
    estimator.weight = 5.0
    assert_same(*both(eager, staged, model, batch, state))
    model.eval()
    assert_same(*both(eager, staged, model, batch, state))


def test_so_is_a_changed_attribute_of_a_part_of_the_model():
    model, estimator = Line().train(), Weighted()
    eager, staged = pieces(estimator, model)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    staged(batch, state)
    model.norm.p = 0.9
    assert_same(*both(eager, staged, model, batch, state))


def test_an_attribute_that_the_phase_changes_is_refused():
    def note(estimator, value):
        estimator.noted = getattr(estimator, "noted", 0) + 1
        return value

    model, estimator = Line(), Weighted(trouble=note)
    _, staged = pieces(estimator, model)
    with pytest.raises(StagingError, match=r"changes Weighted\.noted whenever it runs. Keep what a step changes in buffers"):
        staged(Batch(torch.randn(4, 3)), {"count": torch.zeros(())})
    assert not hasattr(estimator, "noted"), "everything is put back"


def test_an_attribute_that_is_changed_at_every_step_is_refused():
    model, estimator = Line(), Weighted()
    _, staged = pieces(estimator, model)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    for weight in range(8):
        estimator.weight = float(weight)
        staged(batch, state)
    estimator.weight = 8.0
    with pytest.raises(
        StagingError, match=r"got a new Weighted\.weight, for the 9th recording in 8 runs. Keep what changes"
    ):
        staged(batch, state)


def test_an_attribute_that_goes_back_and_forth_is_recorded_once_each_way():
    model, estimator = Line(), Weighted()
    _, staged = pieces(estimator, model)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    for step in range(20):
        estimator.weight = float(step % 2)
        staged(batch, state)
    assert staged.history()["recordings"] == 2


def looks(estimator, value):
    return value * (2.0 if value.sum().item() > 0 else 1.0)


def scales(estimator, value):
    return value * value.detach().abs().sum().item()


def keeps_a_log(estimator, value):
    LOG.append(float(value.detach().sum()))
    return value


def counts_constants(estimator, value):
    return value * torch.tensor(2.0).item()


LOG = []


def throws_dice(estimator, value):
    return value * random.random()


@pytest.mark.parametrize(
    ("trouble", "complaint"),
    [
        (looks, r"test_staged\.py:\d+, `return value \* \(2\.0 if value\.sum\(\)\.item\(\)"),
        (looks, r"as it asks for the value of a tensor there; keep it a tensor, and choose between values by torch\.where"),
        (scales, r"`return value \* value\.detach.*as it asks for the value"),
        (keeps_a_log, r"`LOG\.append\(float\(value\.detach\(\)\.sum\(\)\)\)`, as it asks for the value"),
        (throws_dice, "got one that draws from Python's random"),
    ],
    ids=["branches", "says-what-to-do", "scales", "keeps-a-log", "other-randomness"],
)
def test_what_is_no_function_of_tensors_is_refused(trouble, complaint):
    model, estimator = Line(), Weighted(trouble=trouble)
    _, staged = pieces(estimator, model)
    with pytest.raises(StagingError, match=complaint):
        staged(Batch(torch.randn(4, 3)), {"count": torch.zeros(())})


def test_numbers_of_constants_may_be_read():
    model, estimator = Line(), Weighted(trouble=counts_constants)
    _, staged = pieces(estimator, model)
    staged(Batch(torch.randn(4, 3)), {"count": torch.zeros(())})


def penalised(estimator, value):
    return value - sum(parameter.square().sum() for parameter in estimator.kept)


def test_parameters_kept_behind_the_model_are_refused():
    """In a tuple nothing can be put in their place: the graph would hold them as constants, without their gradient."""
    model, estimator = Line(), Weighted(trouble=penalised)
    estimator.kept = tuple(model.parameters())
    _, staged = pieces(estimator, model)
    with pytest.raises(StagingError, match="take parameters and buffers from the model that it is given"):
        staged(Batch(torch.randn(4, 3)), {"count": torch.zeros(())})


def execution(estimator, model, name, runs):
    [phase] = estimator.phases(model)
    return PhaseExecution(phase, model, estimator, list(phase.parameters.values()), execution=name, runs=runs)


def test_auto_falls_back_and_says_so_once():
    model, estimator = Line(), Weighted(trouble=looks)
    run = execution(estimator, model, "auto", 1000)
    batch, state = Batch(torch.randn(4, 3)), {"count": torch.zeros(())}
    with pytest.warns(UserWarning, match=r"runs as it is written.*`return value"):
        run(batch, state)
    assert run.chosen == "eager"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(batch, state)


@pytest.mark.parametrize(
    ("name", "runs", "chosen"),
    [("auto", 10, "eager"), ("auto", 1000, "graph"), ("graph", 10, "graph"), ("eager", 1000, "eager")],
)
def test_choice(name, runs, chosen):
    assert execution(Weighted(), Line(), name, runs).chosen == chosen


@pytest.mark.parametrize("steps", [30], ids=str)
def test_training_as_a_graph_ends_where_training_as_written_does(steps):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    ends = []
    for name in ("eager", "graph"):
        torch.manual_seed(0)
        model = Line(running=True)
        fit(model, x, MaximumLikelihood(), steps=steps, batch_size=16, execution=name, ema=0.9, clip_norm=1.0, seed=3)
        ends.append(model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_graph_is_insisted_on_when_asked_for():
    with pytest.raises(StagingError, match="cannot be recorded"):
        fit(Line(), torch.randn(40, 3), Weighted(trouble=looks), steps=3, execution="graph")


def test_unknown_execution():
    with pytest.raises(ConfigurationError, match="execution auto, eager, graph or inductor; got 'jit'"):
        fit(Line(), torch.randn(40, 3), MaximumLikelihood(), steps=3, execution="jit")

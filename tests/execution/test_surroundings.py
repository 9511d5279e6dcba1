"""What a phase reads, keeps and changes besides its arguments: a graph does as the program does, or is refused."""

import dataclasses
import functools
import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from probgen import Batch, Estimate, Phase
from probgen.errors import StagingError
from probgen.execution import PhaseExecution, StagedPhase
from probgen.execution.eager import EagerPhase
from probgen.execution.reach import Reach


class Holder:
    """An estimator, as far as a phase sees one: something with attributes."""

    learned = None

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Scale(nn.Module):
    """Three weights, and whatever else a case needs."""

    def __init__(self, **attributes):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return x * self.weight


class Buffered(Scale):
    def __init__(self, **buffers):
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)


def loss(value):
    return Estimate(value.square().mean(), value.detach().sum())


def phase_of(model, run, *, update=False):
    return Phase("main", dict(model.named_parameters()), **{"update" if update else "estimate": run})


def path(make, kind, *, steps=4, between=None):
    """Return the numbers of a few steps of gradient descent, and what the model holds in the end."""
    torch.manual_seed(0)
    model, estimator, run = make()
    parameters = list(model.parameters())
    phase = phase_of(model, run)
    step = EagerPhase(phase, model, parameters) if kind == "eager" else StagedPhase(phase, model, estimator, parameters)
    numbers, state = [], {}
    for number in range(steps):
        torch.manual_seed(number)
        results = step(Batch(torch.randn(4, 3)), state)
        state = {name: tensor.detach() for name, tensor in results.estimate.state.items()}
        kept = [*results.gradients, results.estimate.value, *state.values(), *model.buffers()]
        numbers += [tensor.detach().clone() for tensor in kept]
        with torch.no_grad():
            for parameter, gradient in zip(parameters, results.gradients, strict=True):
                parameter.sub_(0.1 * gradient)
        if between is not None:
            between(number, model, estimator)
    return numbers


def assert_same_path(make, **options):
    expected, got = path(make, "eager", **options), path(make, "graph", **options)
    assert len(expected) == len(got)
    for one, other in zip(expected, got, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def staged(make):
    model, estimator, run = make()
    return StagedPhase(phase_of(model, run), model, estimator, list(model.parameters())), model, estimator


def refusal(make):
    phase, *_ = staged(make)
    with pytest.raises(StagingError) as caught:
        phase(Batch(torch.randn(4, 3)), {})
    return str(caught.value)


# -------------------------------------------------------------------------------------------- what is made at the first call


class Cached(Scale):
    def forward(self, x):
        if self.cache is None:
            self.cache = torch.linspace(0, 1, 3)
        return x * self.weight * self.cache


def test_a_table_that_is_made_at_the_first_call():
    def make():
        model = nn.Sequential(Cached(cache=None))
        return model, Holder(), lambda model, batch, state: loss(model(batch.x))

    assert_same_path(make)


def test_a_buffer_that_is_made_at_the_first_call():
    def make():
        def run(model, batch, state):
            if model.table is None:
                model.table = torch.linspace(0, 1, 3)
            return loss(model(batch.x) * model.table)

        return Buffered(table=None), Holder(), run

    assert_same_path(make)


def test_a_table_that_a_function_remembers():
    @functools.cache
    def table(n):
        return torch.linspace(0, 1, n)

    def make():
        return Scale(), Holder(), lambda model, batch, state: loss(model(batch.x) + table(len(batch))[:, None])

    assert_same_path(make)
    assert not isinstance(table(4), FakeTensor)


def test_a_refused_phase_leaves_nothing_behind():
    def make():
        def run(model, batch, state):
            value = model(batch.x)
            if value.sum() > 1e9:
                raise ValueError
            return loss(value)

        return Cached(cache=None), Holder(norm=nn.BatchNorm1d(3), rng=torch.Generator().manual_seed(0)), run

    phase, model, estimator = staged(make)
    with pytest.raises(StagingError, match="cannot be recorded"):
        phase(Batch(torch.randn(4, 3)), {})
    assert model.cache is None
    assert not any(isinstance(tensor, FakeTensor) for tensor in Reach({"model": model, "estimator": estimator}).tensors)


# ---------------------------------------------------------------------------------------------------- what a step changes


def test_buffers_that_shift():
    def make():
        def run(model, batch, state):
            model.previous = model.current
            model.current = batch.x.mean(0)
            return loss((model.weight - model.previous) * batch.x)

        return Buffered(current=torch.zeros(3), previous=torch.zeros(3)), Holder(), run

    assert_same_path(make)


def test_state_that_keeps_an_old_buffer():
    def make():
        def run(model, batch, state):
            old, model.current = model.current, batch.x.mean(0)
            return dataclasses.replace(loss((model.weight - old) * batch.x), state={"old": old})

        return Buffered(current=torch.zeros(3)), Holder(), run

    assert_same_path(make)


def test_a_buffer_that_takes_another_type_and_shape():
    def make():
        def run(model, batch, state):
            model.average = 0.9 * model.average + 0.1 * batch.x.abs().mean(0)
            return loss((model.weight - model.average) * batch.x)

        return Buffered(average=torch.tensor(0)), Holder(), run

    assert_same_path(make)


def test_one_of_two_tied_buffers():
    def make():
        tied = torch.zeros(3)

        def run(model, batch, state):
            estimate = loss((model.weight - model.second + model.first) * batch.x)
            model.second = batch.x.mean(0)
            return estimate

        return Buffered(first=tied, second=tied), Holder(), run

    assert_same_path(make)


@pytest.mark.parametrize("in_place", [False, True], ids=["bound-anew", "in-place"])
def test_a_moving_average_that_is_no_buffer(in_place):
    def make():
        def run(model, batch, state):
            if in_place:
                model[0].average.mul_(0.9).add_(0.1 * batch.x.mean(0))
            else:
                model[0].average = 0.9 * model[0].average + 0.1 * batch.x.mean(0)
            return loss(model(batch.x) - model[0].average)

        return nn.Sequential(Scale(average=torch.zeros(3))), Holder(), run

    assert_same_path(make)


def test_a_module_that_only_the_estimator_holds():
    """Recording and comparing it must not count as steps of its running statistics."""

    def make():
        estimator = Holder(norm=nn.BatchNorm1d(3))

        def run(model, batch, state):
            return dataclasses.replace(
                loss(model(estimator.norm(batch.x))), info={"steps": estimator.norm.num_batches_tracked.clone()}
            )

        return Scale(), estimator, run

    assert_same_path(make)
    phase, _, estimator = staged(make)
    phase(Batch(torch.randn(4, 3)), {})
    assert estimator.norm.num_batches_tracked == 1


def test_a_generator_of_its_own():
    def make():
        generator = torch.Generator().manual_seed(3)
        estimator = Holder(generator=generator)
        return (
            Scale(),
            estimator,
            lambda model, batch, state: loss(model(batch.x) + torch.randn(4, 3, generator=generator)),
        )

    assert_same_path(make)


def test_parameters_that_a_closure_and_a_list_hold():
    def make():
        model = Scale()
        kept = dict(model.named_parameters())
        estimator = Holder(kept=list(model.parameters()))

        def run(model, batch, state):
            penalty = kept["weight"].square().sum() + estimator.kept[0].abs().sum()
            return dataclasses.replace(loss(model(batch.x)), surrogate=model(batch.x).square().mean() + penalty)

        return model, estimator, run

    assert_same_path(make)


def test_writing_to_a_tensor_out_of_reach_is_refused():
    seen = (torch.zeros(3),)

    def make():
        def run(model, batch, state):
            seen[0].view(-1)[1:].add_(batch.x.mean(0)[1:])
            return loss(model(batch.x))

        return Scale(), Holder(), run

    assert "writes to a tensor elsewhere" in refusal(make)


# ---------------------------------------------------------------------------------------------- what is changed from outside


@dataclasses.dataclass
class Config:
    factor: float = 1.0


class Slotted:
    __slots__ = ("factor",)

    def __init__(self):
        self.factor = 1.0


def change_list(number, model, estimator):
    estimator.items[0] = 2.0 + number // 2


def change_options(number, model, estimator):
    estimator.options["factor"] = 2.0 + number // 2


def change_none(number, model, estimator):
    model[0].none = 2.0


def change_tuple(number, model, estimator):
    model[0].pair = (2.0, 3)


def change_config(number, model, estimator):
    model[0].config.factor = 3.0


def change_slot(number, model, estimator):
    estimator.slotted.factor = 4.0


def change_type(number, model, estimator):
    estimator.items[0] = torch.float64 if number else 1


def replace_part(number, model, estimator):
    model[1] = nn.ReLU()


def add_hook(number, model, estimator):
    if not number:
        model[1].register_forward_hook(lambda module, given, result: 3.0 * result)


def replace_tensor(number, model, estimator):
    model[0].tensor = model[0].tensor + 1


def write_tensor(number, model, estimator):
    estimator.pair[0].add_(1.0)


def freeze(number, model, estimator):
    estimator.other.requires_grad_(number % 2 == 1)


def widen(number, model, estimator):
    torch.set_default_dtype(torch.float64)


CHANGES = [
    change_list,
    change_options,
    change_none,
    change_tuple,
    change_config,
    change_slot,
    change_type,
    replace_part,
    add_hook,
    replace_tensor,
    write_tensor,
    freeze,
    widen,
]


@pytest.mark.parametrize("between", CHANGES, ids=lambda change: change.__name__)
def test_changes_from_outside_are_seen(between):
    def make():
        first = Scale(none=None, pair=(1.0,), config=Config(), tensor=torch.zeros(3))
        other = torch.zeros(3, requires_grad=True)
        estimator = Holder(items=[1.0], options={"factor": 1.0}, slotted=Slotted(), pair=(torch.zeros(()), 1.0), other=other)

        def run(model, batch, state):
            part = model[0]
            factor = part.pair[0] * len(part.pair) * part.config.factor * (part.none or 1.0)
            factor *= (
                estimator.options["factor"] * estimator.slotted.factor * (2.0 if estimator.other.requires_grad else 1.0)
            )
            item = estimator.items[0]
            x = batch.x.to(item) if isinstance(item, torch.dtype) else batch.x * item * (1.0 + float(estimator.pair[0]))
            return loss(model(x) * factor + part.tensor + torch.full((3,), 1 / 3).double())

        return nn.Sequential(first, nn.Tanh()), estimator, run

    before = torch.get_default_dtype()
    try:
        expected = path(make, "eager", between=between)
        torch.set_default_dtype(before)
        got = path(make, "graph", between=between)
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))


def test_a_closure_that_is_changed():
    def make():
        factor = 1.0

        def run(model, batch, state):
            return loss(model(batch.x) * factor)

        def change(number, model, estimator):
            nonlocal factor
            factor = 2.0

        return Scale(), Holder(change=change), run

    assert_same_path(make, between=lambda number, model, estimator: estimator.change(number, model, estimator))


def test_a_parameter_that_is_frozen_ends_the_run_as_it_does_when_written():
    def make():
        return Scale(), Holder(), lambda model, batch, state: loss(model(batch.x) * torch.ones(3, requires_grad=True))

    phase, model, _ = staged(make)
    batch = Batch(torch.randn(4, 3))
    phase(batch, {})
    model.weight.requires_grad_(False)
    with pytest.raises(RuntimeError, match="does not require grad"):
        phase(batch, {})


def test_nothing_is_recorded_anew_for_numbers_alone():
    def make():
        return (
            Buffered(seen=torch.zeros(())),
            Holder(),
            lambda model, batch, state: (setattr(model, "seen", model.seen + 1), loss(model(batch.x)))[1],
        )

    phase, model, _ = staged(make)
    for _ in range(5):
        phase(Batch(torch.randn(4, 3)), {})
        with torch.no_grad():
            model.weight.mul_(0.5)
    assert model.seen == 5
    assert phase.history()["recordings"] == 1


def test_only_so_many_graphs_are_kept():
    phase, *_ = staged(lambda: (Scale(), Holder(), lambda model, batch, state: loss(model(batch.x))))
    phase.load_history({"runs": 10_000, "recordings": 0, "known": []})
    for n in range(1, 13):
        phase(Batch(torch.randn(n, 3)), {})
    assert phase.history()["recordings"] == 12
    assert len(phase.history()["known"]) == len(phase._recordings) == 8


# ---------------------------------------------------------------------------------------- what else goes into the numbers


def counted():
    counter = itertools.count()
    return lambda: 1.0 + min(0.0, next(counter) - 5)


def listed():
    calls = [0]

    def factor():
        calls[0] += 1
        return 1.0 if calls[0] < 5 else 2.0

    return factor


def thrown():
    return lambda: 1.0 + 1e-5 * random.random()


def drawn_by_numpy():
    generator = np.random.default_rng(0)
    return lambda: 1.0 + 1e-5 * generator.normal()


def drawn_by_numpy_itself():
    return lambda: 1.0 + 1e-5 * np.random.normal()


@pytest.mark.parametrize("source", [counted, listed, thrown, drawn_by_numpy, drawn_by_numpy_itself])
def test_other_sources_are_refused_however_little_they_change(source):
    def make():
        factor = source()
        return Scale(), Holder(), lambda model, batch, state: loss(model(batch.x) * factor())

    assert any(words in refusal(make) for words in ("whenever it runs", "torch's random streams"))


def test_too_much_to_watch_is_refused():
    def make():
        return (
            Scale(),
            Holder(table={number: [number] for number in range(900)} | {str(n): list(range(900)) for n in range(90)}),
            lambda model, batch, state: loss(model(batch.x)),
        )

    assert "too many to be watched" in refusal(make)


# --------------------------------------------------------------------------------------------------------------- a resume


def test_what_was_chosen_is_kept():
    def run(model, batch, state):
        return loss(model(batch.x))

    def execution():
        model = Scale()
        return PhaseExecution(phase_of(model, run), model, Holder(), list(model.parameters()), execution="auto", runs=10_000)

    first, second = execution(), execution()
    first(Batch(torch.randn(4, 3)), {})
    second.load_history(first.history())
    assert second.history() == first.history()
    second(Batch(torch.randn(4, 3)), {})
    assert second.history()["recorded"] == {**first.history()["recorded"], "runs": 2}
    second.load_history({"chosen": "eager", "recorded": {}})
    assert second.chosen == "eager"

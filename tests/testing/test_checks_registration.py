"""Every check of a registration passes a right one and fails each of its wrong twins."""

from __future__ import annotations

import os
import random
import sys

import pytest
import torch

from probgen.testing import Level, Status, run_check
from probgen.testing.checks.models import model_checks
from probgen.testing.checks.registration import _BASIC, registration_checks
from probgen.testing.surroundings import changed_by_executing, changed_by_importing
from probgen.testing.tiny import tiny_source
from probgen.testing.twins.registration import Bell, right

CHECKS = registration_checks()
TWINS = [pytest.param(check, twin, id=f"{check.name}: {what}") for check in CHECKS for what, twin in check.twins.items()]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
class TestRightOnes:
    def test_one_passes(self, check):
        result = run_check(check, right(), "right")
        assert result.status is Status.PASSED, str(result)

    def test_one_without_what_is_optional_passes_or_is_not_asked(self, check):
        result = run_check(check, right(recipe="", options=[], supports=["real"]), "x")
        assert result.status in (Status.PASSED, Status.SKIPPED), str(result)


@pytest.mark.parametrize(("check", "twin"), TWINS)
def test_a_wrong_twin_does_not_pass(check, twin):
    result = run_check(check, twin(), "twin")
    undecided = Status.INCONCLUSIVE if check.name == "basics-are-answered" else Status.FAILED
    assert result.status is undecided, str(result)


def test_an_unanswered_question_comes_with_a_remedy():
    check = next(check for check in CHECKS if check.name == "basics-are-answered")
    (twin,) = check.twins.values()
    assert "give one of few events, or of one real entry" in str(run_check(check, twin(), "twin"))


def test_the_basic_questions_are_checks_of_models():
    assert set(_BASIC) <= {check.name for check in model_checks()}


def test_a_fresh_process_sees_what_an_import_does():
    assert changed_by_importing("probgen.testing.twins.seeding") == ["torch's random stream"]
    assert changed_by_importing("probgen.testing.twins.registration") == []


def test_what_code_changes_is_seen_and_put_back(tmp_path, monkeypatch):
    (tmp_path / "busy.py").write_text(
        "import os, random, torch\ntorch.manual_seed(1)\nrandom.seed(1)\ntorch.set_default_dtype(torch.float64)\n"
        "torch.set_grad_enabled(False)\nos.environ['PROBGEN_BUSY'] = '1'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = torch.get_rng_state(), random.getstate()
    assert changed_by_executing("busy") == [
        "torch's random stream",
        "Python's random stream",
        "the default floating-point type",
        "whether gradients are recorded",
        "the environment",
    ]
    assert torch.equal(before[0], torch.get_rng_state())
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert "PROBGEN_BUSY" not in os.environ
    assert "busy" not in sys.modules


def test_code_that_runs_but_once_waits_for_a_fresh_process(tmp_path, monkeypatch):
    (tmp_path / "once.py").write_text(
        "import sys\nif getattr(sys, 'once', False):\n    raise RuntimeError('twice')\nsys.once = True\n"
        "from probgen.testing.twins.registration import Bell\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "once", False, raising=False)
    registered = right()
    object.__setattr__(registered.spec, "target", "once:Bell")
    check = next(check for check in CHECKS if check.name == "import-is-pure")
    result = run_check(check, registered, "once")
    assert (result.status, "may run but once" in result.reason) == (Status.SKIPPED, True)
    assert run_check(check, registered, "once", level=Level.STANDARD).status is Status.PASSED


@pytest.mark.parametrize("support", ["binary", "categorical", "count", "positive", "real", "unit-interval"])
def test_tiny_data_fit_every_support(support):
    from probgen.data import matching_view
    from probgen.supports import named_support

    model = Bell(event_shape=(2, 3), context_shape=(3,))
    model.support = named_support(support, levels=5 if support == "categorical" else None)
    source = tiny_source(model, seed=1)
    batch = matching_view(source, model).split("train").batch(torch.arange(4))
    assert bool(model.support.check(batch.x).all())
    assert (batch.x.shape, batch.context.shape) == ((4, 2, 3), (4, 3))


def test_there_are_no_tiny_data_for_scalars_and_pictures_as_contexts():
    assert tiny_source(Bell(event_shape=()), seed=1) is None
    assert tiny_source(Bell(event_shape=(1,), context_shape=(2, 2)), seed=1) is None

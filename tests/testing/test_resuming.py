"""A run that forgets something when it is killed is found out, and one that does not passes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from probgen.errors import ConfigurationError, UnknownNameError
from probgen.plugin import registry
from probgen.testing import NonConformance, assert_resumes
from probgen.training.averaging import WeightAverage
from probgen.training.phase_run import PhaseRun
from probgen.training.stage_run import StageRun

INSTALLED = Path(__file__).parent / "installed"


@pytest.fixture(autouse=True, scope="module")
def _memories():
    """Let Python find the distribution `probgen-memories` in `installed`, during these tests only."""
    sys.path.insert(0, str(INSTALLED))
    registry.cache_clear()
    yield
    sys.path.remove(str(INSTALLED))
    registry.cache_clear()


def tired(**options):
    assert_resumes("memory/tired", "moons", data_options={"n": 60}, batch_size=20, **options)


@pytest.mark.parametrize("kills", [[7], range(1, 12, 2), [2, 2, 12]], ids=str)
def test_what_is_saved_passes(kills):
    tired(kills=kills)


def test_a_state_that_is_saved_passes():
    tired(estimator="momentous")


@pytest.mark.parametrize("memory", ["attribute", "scratch", "process"])
def test_a_model_that_forgets_fails(memory):
    with pytest.raises(NonConformance, match=r"tired, killed after step 7 and resumed, .* got other values of .*mean"):
        tired(options={"memory": memory})


def test_an_estimator_that_forgets_fails():
    with pytest.raises(NonConformance, match="other metrics from step 5 on"):
        tired(estimator="momentous", estimator_options={"memory": "attribute"})


def test_what_is_forgotten_at_the_last_step_is_seen():
    """No weight depends on it any more, the last validation does."""
    with pytest.raises(NonConformance):
        tired(options={"memory": "attribute"}, kills=[12], checkpoint_every=11)


def _forget(self, *_):
    """Restore nothing."""


@pytest.mark.parametrize("part", [(WeightAverage, "load"), (PhaseRun, "load"), (StageRun, "restore")], ids=str)
def test_a_trainer_that_forgets_fails(part, monkeypatch):
    """The averaged weights, the optimiser's moments, everything: what is written but not read is missed as well."""
    monkeypatch.setattr(*part, _forget)
    with pytest.raises(NonConformance):
        tired()


def test_a_process_that_dies_of_something_else_is_told_from_the_kill():
    with pytest.raises(NonConformance, match=r"after step 7; got exit code 1 before that \(ZeroDivisionError: a mistake"):
        tired(options={"memory": "crash"})


def test_a_path_is_found_from_where_the_caller_is(tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("\n".join(["a,b", *(f"{i % 7 / 3:.3f},{i % 5}" for i in range(60))]))
    monkeypatch.chdir(tmp_path)
    assert_resumes("memory/tired", "./mine.csv", batch_size=20)


@pytest.mark.parametrize("kills", [[], [0], [5, 3]], ids=str)
def test_kills_out_of_order_are_refused(kills):
    with pytest.raises(ConfigurationError, match="ascending order"):
        tired(kills=kills)


def test_a_kill_after_the_end_is_refused():
    with pytest.raises(ConfigurationError, match="got 13, which the run ended without reaching"):
        tired(kills=[13])


def test_what_is_wrong_with_the_run_itself_is_said_as_ever():
    with pytest.raises(UnknownNameError, match="memory/tired"):
        assert_resumes("memory/tird", "moons")

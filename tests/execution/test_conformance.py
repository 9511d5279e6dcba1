"""Recorded estimators are held to the claims of the written ones: by the kit, and by training every model both ways."""

import pytest
import torch

from probgen import build, build_estimator, fit
from probgen.execution import Recorded
from probgen.plugin import registry
from probgen.testing import assert_resumes, check_estimator

CORE = sorted(name for name, entry in registry().estimators.items() if entry.distribution == "probgen")


@pytest.mark.parametrize("name", ["contrastive-divergence", "maximum-likelihood"])
def test_keeps_its_claims(name):
    check_estimator(Recorded(build_estimator(name)), only=["claims"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_conforms(name):
    check_estimator(Recorded(build_estimator(name)))


class Slanted(Recorded):
    """A recording whose gradients are a hundredth too long: what the kit would catch."""

    def phases(self, model):
        def slanted(estimate):
            def run(*inputs):
                result = estimate(*inputs)
                return type(result)(1.01 * result.surrogate, result.value, state=result.state, info=result.info)

            return run

        return [
            type(phase)(phase.name, phase.parameters, estimate=slanted(phase.estimate)) for phase in super().phases(model)
        ]


def test_the_kit_sees_a_wrong_recording():
    from probgen.testing import NonConformance

    with pytest.raises(NonConformance, match="grad"):
        check_estimator(Slanted(build_estimator("maximum-likelihood")), only=["claims"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry().models))
def test_every_recipe_trains_as_a_graph(name):
    ends = []
    for execution in ("eager", "graph"):
        torch.manual_seed(0)
        model = build(name, "digits")
        fit(model, "digits", steps=3, batch_size=20, execution=execution, device="cpu")
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    if name in ("latent/sbn", "latent/helmholtz"):  # their coins are tossed by another generator in a graph
        assert ends[0].shape == ends[1].shape
    else:
        torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("execution", ["graph", pytest.param("inductor", marks=pytest.mark.slow)])
def test_killed_and_resumed(execution):
    assert_resumes("latent/vae", "moons", data_options={"n": 200}, options={"hidden": (8,)}, execution=execution)

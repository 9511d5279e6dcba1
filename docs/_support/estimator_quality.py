"""Measure what `docs/concepts/estimator-quality.md` says, and write it there: `python docs/_support/estimator_quality.py`.

Takes less than half an hour on one core. With names of parts only these are measured: `variances`, `convergence`, `pyro`,
`alarms`, `exact`, `power`, `dreg`. Every number is exact, or of the seeds in this file.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import torch
from estimator_power import exact_table, power_table
from pyro.infer import RenyiELBO, Trace_ELBO, TraceGraph_ELBO
from pyro_objectives import PyroObjective
from relax_quadrature import relax_moments

from probgen import ELBO, IWAE, REINFORCE, RELAX, VIMCO, Estimator
from probgen.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from probgen.estimators.iwae_gradients import DReG
from probgen.report.style import figure, name_axes, save_figure, styled
from probgen.testing import FiniteLaw, Level, exact_law, false_alarms
from probgen.testing.checks.claims import check_claims
from probgen.testing.checks.questions import questions, target_of
from probgen.testing.checks.scenes import Scene, gradients_of, set_up
from probgen.testing.problem import Problem
from probgen.testing.problems.belief_nets import belief_net_problem
from probgen.testing.problems.gaussian_autoencoders import gaussian_autoencoder_problem
from probgen.testing.trial import Trial
from probgen.testing.verdict import Outcome

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "concepts" / "estimator-quality.md"
PLOT = DOCS / "assets" / "dreg-snr.png"
NET = belief_net_problem(visible=3, latents=2)
PARTICLES = 3
NODES = (6, 12, 24)
SEED = 20_240_601


def warmed(scene: Scene, *, steps: int = 300, rate: float = 0.05) -> Scene:
    """Return the scene after steps in which the estimator alone learns and remembers; the model stays as it is."""
    learned = scene.estimator.learned
    own = set() if learned is None else {id(parameter) for parameter in learned.parameters()}
    (phase,) = scene.phases
    torch.manual_seed(SEED)
    state = scene.state
    for _ in range(steps):
        estimate = scene.estimate(phase, state=state)
        state = estimate.state
        found = gradients_of(phase, estimate)
        with torch.no_grad():
            for name, parameter in phase.parameters.items():
                if id(parameter) in own:
                    parameter -= rate * found[name]
    return dataclasses.replace(scene, state=state)


def flat_gradient(scene: Scene) -> torch.Tensor:
    """Return one draw of the gradient by the programs' parameters, as a vector."""
    (phase,) = scene.phases
    found = gradients_of(phase, scene.estimate(phase))
    programs = {id(parameter) for parameter in scene.model.parameters()}
    return torch.cat([found[name].flatten() for name, each in phase.parameters.items() if id(each) in programs])


def law_of(subject: Estimator, problem: Problem, *, nodes: int = 12) -> FiniteLaw:
    """Return the exact law of a gradient, all outcomes with their probabilities."""
    scene = warmed(set_up(subject, problem, seed=SEED))
    return exact_law(lambda: flat_gradient(scene), nodes=nodes)


def exact_gradient(scene: Scene) -> torch.Tensor:
    """Return what the mean of `flat_gradient` is claimed to be."""
    (phase,) = scene.phases
    (asked,) = (each for each in questions(scene.estimator, phase) if any("programs" in name for name in each.names))
    return target_of(scene, asked)


def variance_row(name: str, mean: torch.Tensor, variance: float, target: torch.Tensor, how: str) -> str:
    """Return a row of the table of variances; the variance is the sum of those of the gradient's components."""
    relative = math.sqrt(variance) / target.norm().item()
    return f"| {name} | {variance:.4f} | {relative:.3f} | {relative_bias(mean, target):.0e} | {how} |"


def relative_bias(mean: torch.Tensor, target: torch.Tensor) -> float:
    """Return how far a mean is from the exact gradient, relative to its size."""
    return (mean - target).norm().item() / target.norm().item()


def variances() -> str:
    """Return the table of gradient variances on one belief net."""
    k = PARTICLES
    subjects = {
        "none": REINFORCE(num_particles=k, baseline=NoBaseline()),
        "moving average": REINFORCE(num_particles=k, baseline=MovingAverage()),
        "learned, input-dependent": REINFORCE(num_particles=k, baseline=Learned(hidden=(8,))),
        "leave-one-out": REINFORCE(num_particles=k, baseline=LeaveOneOut()),
        f"VIMCO (of L_{k})": VIMCO(num_particles=k),
    }
    rows = []
    for name, subject in subjects.items():
        law = law_of(subject, NET)
        total = float(law.probabilities @ ((law.values - law.mean) ** 2).sum(1))
        target = exact_gradient(set_up(subject, NET, seed=SEED))
        rows.append(variance_row(name, torch.from_numpy(law.mean), total, target, f"{len(law.values)} outcomes"))
    scene = relax_scene()
    found = relax_moments(scene, nodes=NODES[-1])
    rows.append(variance_row("RELAX", found.mean, found.variance / k, exact_gradient(scene), f"{found.draws} nodes"))
    head = (
        "| baseline | tr Var | √tr Var / ‖gradient‖ | ‖mean − gradient‖ / ‖gradient‖ | sum over |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows)


def relax_scene() -> Scene:
    """Return RELAX with one particle, and the control variate that it has learned with several."""
    learned = warmed(set_up(RELAX(num_particles=PARTICLES), NET, seed=SEED)).estimator.learned
    scene = set_up(RELAX(num_particles=1), NET, seed=SEED)
    control = scene.estimator.learned
    if control is None or learned is None:
        raise TypeError("relax_scene: expected a control variate")
    control.load_state_dict(learned.state_dict())
    return scene


def convergence() -> str:
    """Return how the moments of RELAX settle as the nodes are doubled."""
    scene = relax_scene()
    target = exact_gradient(scene)
    rows = []
    for nodes in NODES:
        found = relax_moments(scene, nodes=nodes)
        rows.append(f"| {nodes} | {found.variance / PARTICLES:.12f} | {relative_bias(found.mean, target):.0e} |")
    return "| nodes a variable | tr Var | ‖mean − gradient‖ / ‖gradient‖ |\n|---|---|---|\n" + "\n".join(rows)


def dreg_plot() -> str:
    """Draw the signal-to-noise ratio of the guide's gradient against the number of particles; return the numbers."""
    problem = gaussian_autoencoder_problem(offset=0.5, spread=0.3)
    counts, draws = [1, 4, 16, 64, 256, 1024], 1000
    ratios: dict[str, list[float]] = {}
    for name, gradient in {"pathwise": None, "DReG": DReG()}.items():
        ratios[name] = []
        for count in counts:
            scene = set_up(IWAE(num_particles=count, gradient=gradient), problem, seed=SEED)
            (phase,) = scene.phases
            torch.manual_seed(SEED)
            rows = []
            for _ in range(draws):
                found = gradients_of(phase, scene.estimate(phase))
                rows.append(torch.stack([found[each].flatten()[0] for each in phase.parameters if "q." in each]))
            sample = torch.stack(rows)
            ratios[name].append((sample.mean(0).abs() / sample.std(0)).mean().item())
    with styled():
        made = figure(6.0, 3.6)
        axes = made.subplots()
        for name, values in ratios.items():
            axes.loglog(counts, values, marker="o", label=name)
        name_axes(axes, x="particles K", y="signal-to-noise ratio", title="Gradient of the guide's parameters")
        axes.legend()
    save_figure(made, PLOT)
    head = "| K | " + " | ".join(map(str, counts)) + " |\n|---|" + "---|" * len(counts) + "\n"
    return head + "\n".join(
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |" for name, values in ratios.items()
    )


def alarms() -> str:
    """Return the table of false alarms, for estimators of several kinds."""
    pair = gaussian_autoencoder_problem()
    laws = {
        "`REINFORCE`, no baseline": law_of(REINFORCE(num_particles=1, baseline=NoBaseline()), NET),
        "`REINFORCE`, leave-one-out": law_of(REINFORCE(num_particles=PARTICLES, baseline=LeaveOneOut()), NET),
        "`VIMCO`": law_of(VIMCO(num_particles=PARTICLES), NET),
        "`ELBO`": law_of(ELBO(analytic_kl=False), pair),
        "`IWAE`, two particles": law_of(IWAE(num_particles=2), pair),
    }
    rows = []
    for name, law in laws.items():
        measured = false_alarms(law, alpha=1e-2, runs=100_000, seed=SEED)
        rows.append(f"| {name} | {measured.screen_level:.0e} | {measured.suspected:.2e} | {measured.refuted:.2e} |")
    return "| gradient of | screen's level | suspected | refuted |\n|---|---|---|---|\n" + "\n".join(rows)


def pyro_verdicts() -> str:
    """Return what the kit says of Pyro's own objectives."""
    subjects = {
        "`Trace_ELBO`": PyroObjective(Trace_ELBO),
        "`Trace_ELBO(num_particles=3)`": PyroObjective(lambda: Trace_ELBO(num_particles=3)),
        "`TraceGraph_ELBO`": PyroObjective(TraceGraph_ELBO),
        "`RenyiELBO(alpha=0, num_particles=3)`": PyroObjective(
            lambda: RenyiELBO(alpha=0, num_particles=3), quantity="iwae[3]"
        ),
    }
    rows = []
    for name, subject in subjects.items():
        judged = list(check_claims(subject, Trial("claims", name, Level.QUICK, entropy=SEED)))
        for kind in ("value", "gradient"):
            own = [each for each in judged if each.claim.startswith(kind) and "lower bound" not in each.claim]
            wrong = [each for each in own if each.verdict.outcome is Outcome.FAILS]
            worst = max((each.verdict.bias or 0.0 for each in wrong), default=0.0)
            verdict = f"**FAILS** on {len(wrong)} of {len(own)} problems, by up to {worst:.0%}" if wrong else "CONFORMS"
            rows.append(f"| {name} | {kind} of `{subject.quantity}` | {verdict} | {len(own)} |")
    return "| objective | claim | verdict | problems |\n|---|---|---|---|\n" + "\n".join(rows)


def write(name: str, table: str) -> None:
    """Put a table between its marks on the page."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(start)
    PAGE.write_text(f"{before}{start}{table}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def main(names: list[str]) -> None:
    """Measure everything, or the parts of these names, each put on the page as soon as it is there."""
    torch.set_num_threads(1)
    parts = {
        "variances": variances,
        "convergence": convergence,
        "pyro": pyro_verdicts,
        "alarms": alarms,
        "exact": lambda: exact_table(seed=SEED),
        "power": lambda: power_table(seed=SEED),
        "dreg": dreg_plot,
    }
    for name in names or parts:
        write(name, parts[name]())


if __name__ == "__main__":
    main(sys.argv[1:])

"""How often the engine is wrong: its false alarms and its power, measured on laws that are known exactly."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from probgen.testing.ladder import Levels, decide_mean, look_sizes
from probgen.testing.law import FiniteLaw
from probgen.testing.screen import Question, screened, t_ratio
from probgen.testing.seeds import derive_seed
from probgen.testing.verdict import Outcome

__all__ = ["FalseAlarms", "Power", "false_alarms", "power"]

_BATCH = 5000


@dataclasses.dataclass(frozen=True)
class FalseAlarms:
    """Measured probabilities that a true claim is suspected by the screen, and that it is refuted.

    Args:
        level: What the whole ladder is allowed.
        screen_level: What the screen alone is allowed.
        runs: How many sequential runs were made.
        suspected: Share of the runs in which the screen suspected something at least once.
        refuted: Share in which two confirmations agreed.
    """

    level: float
    screen_level: float
    runs: int
    suspected: float
    refuted: float


@dataclasses.dataclass(frozen=True)
class Power:
    """What the engine answers when the mean is off by `bias`, relative to the target's size.

    Args:
        bias: The relative bias.
        fails: Share of `FAILS`.
        conforms: Share of `CONFORMS`.
        inconclusive: Share of `INCONCLUSIVE`.
        samples: Median number of draws until the answer.
    """

    bias: float
    fails: float
    conforms: float
    inconclusive: float
    samples: float


def false_alarms(
    law: FiniteLaw,
    *,
    alpha: float,
    runs: int,
    seed: int,
    max_samples: int = 5000,
    screen_level: float | None = None,
    skewness: np.ndarray | None = None,
) -> FalseAlarms:
    """Measure how often a true claim about a law's mean is suspected and refuted. Nothing passes before `max_samples`.

    Args:
        law: How the draws are distributed.
        alpha: Level of the whole ladder.
        runs: How many sequential runs to make.
        seed: Of the draws.
        max_samples: Draws of each run, at least 1000.
        screen_level: Level of the screen, where it shall not be the one that follows from `alpha`.
        skewness: What the engine is told of the skewness, `(d,)`; it estimates it where None.

    Example:
        >>> coin = FiniteLaw(np.array([[0.0], [1.0]]), np.array([0.5, 0.5]))
        >>> false_alarms(coin, alpha=1e-2, runs=2000, seed=0).refuted <= 1e-2
        True
    """
    levels = Levels(alpha)
    screen_level = levels.screen if screen_level is None else screen_level
    question = Question(target=law.mean, blocks=(slice(0, law.values.shape[1]),), skewness=skewness)
    stream = np.random.default_rng(seed)
    looks = look_sizes(max_samples)
    suspected = refuted = 0
    for start in range(0, runs, _BATCH):
        size = min(_BATCH, runs - start)
        sums = law.sums(looks[0], law.mean, stream, runs=size)
        ever, false = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
        for number, look in enumerate(looks):
            if number:
                sums = sums + law.sums(look - sums.n, law.mean, stream, runs=size)
            reading = screened(sums, question, level=screen_level, looks=len(looks))
            doubtful = np.flatnonzero(reading.excess > 1)
            ever[doubtful] = True
            for run in doubtful:
                false[run] |= _confirmed(law, 3 * look, reading.direction[run], levels.confirmation, stream)
        suspected += int(ever.sum())
        refuted += int(false.sum())
    return FalseAlarms(alpha, screen_level, runs, suspected / runs, refuted / runs)


def power(
    law: FiniteLaw,
    biases: Sequence[float],
    *,
    delta: float,
    runs: int,
    seed: int,
    direction: np.ndarray | None = None,
    alpha: float = 1e-9,
    beta: float = 1e-3,
    max_samples: int = 10_000_000,
) -> list[Power]:
    """Measure how often a bias of each size is found.

    Args:
        law: How the draws of the correct estimator are distributed; its mean is the claim.
        biases: Relative sizes of the bias that is added.
        delta: The relative bias that a pass excludes.
        runs: How many runs for each size.
        seed: Of the draws.
        direction: Along which the bias lies, `(d,)`; by default along the mean, as when a factor is wrong.
        alpha: Level of the ladder.
        beta: Probability of a false pass.
        max_samples: Draws until the answer is that there is none.

    Example:
        >>> coin = FiniteLaw(np.array([[0.0], [1.0]]), np.array([0.5, 0.5]))
        >>> [(row.bias, row.fails, row.conforms) for row in power(coin, [0.0, 0.2], delta=0.1, runs=20, seed=0)]
        [(0.0, 0.0, 1.0), (0.2, 1.0, 0.0)]
    """
    target = law.mean
    along = target if direction is None else direction
    shift = along / np.linalg.norm(along) * max(float(np.linalg.norm(target)), 1e-3)
    rows = []
    for bias in biases:
        verdicts = [
            decide_mean(
                law.shifted(bias * shift),
                target,
                delta=delta,
                alpha=alpha,
                beta=beta,
                max_samples=max_samples,
                seed=derive_seed("power", bias, run, entropy=seed),
            )
            for run in range(runs)
        ]
        shares = Counter(verdict.outcome for verdict in verdicts)
        rows.append(
            Power(
                bias=bias,
                fails=shares[Outcome.FAILS] / runs,
                conforms=shares[Outcome.CONFORMS] / runs,
                inconclusive=shares[Outcome.INCONCLUSIVE] / runs,
                samples=float(np.median([verdict.samples for verdict in verdicts])),
            )
        )
    return rows


def _confirmed(law: FiniteLaw, n: int, direction: np.ndarray, level: float, stream: np.random.Generator) -> bool:
    projection = FiniteLaw((law.values - law.mean) @ direction[:, None], law.probabilities)
    twice = projection.sums(n, np.zeros(1), stream, runs=2)
    return bool((t_ratio(twice, level=level) > 1).all())

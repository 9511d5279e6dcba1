"""The meeting point with Pyro: nothing else in the core imports it.

- `run_pair` runs a model with its guide once and returns every site's values and scores. Whoever wants other draws than the
  guide's own answers its `Statement`s; `Enumeration` answers with all assignments.
- `sample_prior` runs a model alone; `run_dream` scores its draws under the guide.
- `Given` is any `Density` of ours as a Pyro distribution; `as_pyro` turns a `torch.distributions` object into Pyro's own.
- `without_validation` switches argument checks off for a block, as a training loop does once its first step has passed.
"""

from __future__ import annotations

from probgen.pyro_bridge.dreaming import run_dream, sample_prior
from probgen.pyro_bridge.enumerating import Enumeration, count_assignments
from probgen.pyro_bridge.exploring import Exploration, explore_pair
from probgen.pyro_bridge.given import Given, as_pyro
from probgen.pyro_bridge.parameters import awaits_template, check_names_apart
from probgen.pyro_bridge.recording import Draw, Drawn, Statement
from probgen.pyro_bridge.running import run_pair
from probgen.pyro_bridge.validation import without_validation

__all__ = [
    "Draw",
    "Drawn",
    "Enumeration",
    "Exploration",
    "Given",
    "Statement",
    "as_pyro",
    "awaits_template",
    "check_names_apart",
    "count_assignments",
    "explore_pair",
    "run_dream",
    "run_pair",
    "sample_prior",
    "without_validation",
]

"""The core's own data sets, as specs: importable without torch."""

from __future__ import annotations

from probgen.plugin.specs import DataSpec, Option

__all__ = ["DATA_SPECS"]

_N = Option("n", "int", 10_000, "Points in all, over the three splits.", minimum=10)
_SEED = Option("seed", "int", 0, "Seed of the draws and the split; not that of a run.")


def _noise(default: float) -> Option:
    return Option("noise", "float", default, "Standard deviation of the noise.", minimum=0)


DATA_SPECS = (
    DataSpec(
        "bars-and-stripes",
        "All binary pictures of bars or stripes; few enough to enumerate.",
        "probgen.data.bars_and_stripes:bars_and_stripes",
        options=(Option("size", "int", 4, "Pixels on a side.", minimum=2, maximum=10),),
    ),
    DataSpec(
        "checkerboard",
        "Points uniform on the dark squares of a board.",
        "probgen.data.toys:checkerboard",
        options=(_N, _SEED),
    ),
    DataSpec("circles", "Points on two concentric circles.", "probgen.data.toys:circles", options=(_N, _noise(0.05), _SEED)),
    DataSpec(
        "digits",
        "1797 handwritten digits of 8x8 pixels in 17 grey levels, with labels; comes with scikit-learn.",
        "probgen.data.digits:digits",
        options=(Option("seed", "int", 0, "Seed of the split; not that of a run."),),
    ),
    DataSpec(
        "eight-gaussians",
        "Mixture of eight Gaussians on a circle.",
        "probgen.data.toys:eight_gaussians",
        options=(_N, _noise(0.1), _SEED),
    ),
    DataSpec(
        "moons", "Points on two interleaved half circles.", "probgen.data.toys:moons", options=(_N, _noise(0.1), _SEED)
    ),
    DataSpec(
        "pinwheel", "Five bent blades around the origin.", "probgen.data.toys:pinwheel", options=(_N, _noise(0.1), _SEED)
    ),
    DataSpec("spirals", "Points on two interleaved spirals.", "probgen.data.toys:spirals", options=(_N, _noise(0.1), _SEED)),
    DataSpec(
        "twenty-five-gaussians",
        "Mixture of 25 Gaussians on a square grid.",
        "probgen.data.toys:twenty_five_gaussians",
        options=(_N, _noise(0.05), _SEED),
    ),
)
"""Every data set that comes with the core, by name."""

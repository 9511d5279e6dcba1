"""What has to be waited for: imports, and the first step of a new process."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.support.contest import Contestant, Goal, Row, Unavailable
from benchmarks.support.setting import Setting

__all__ = ["rows"]

_IMPORTS = {
    "torch": "import torch",
    "probgen": "import probgen, torch; probgen.Density",
    "probgen fit": "import probgen; probgen.fit, probgen.ELBO",
    "pyro": "import pyro",
    "numpyro": "import numpyro",
    "zuko": "import zuko",
    "nflows": "import nflows.flows",
    "diffusers": "from diffusers import UNet2DModel, DDPMScheduler",
}
_TIMED = """
import time
{imports}
import torch
torch.set_num_threads({threads})
from benchmarks.families import vae
from benchmarks.support.setting import Setting
problem = vae.Problem(784, (400, 400), 20, 128)
setting = Setting(threads={threads}, device={device!r})
start = time.perf_counter()
contestant = {make}
contestant.step()
contestant.finish()
setting.synchronize()
print(time.perf_counter() - start)
"""
_MAKERS = {
    "torch": "vae.by_hand(problem, setting, fused=False)",
    "probgen": "vae.by_probgen(problem, setting, 'eager')",
    "probgen graph": "vae.by_probgen(problem, setting, 'graph')",
    "probgen inductor": "vae.by_probgen(problem, setting, 'inductor')",
    "pyro": "vae.by_pyro(problem, setting)",
    "numpyro": "vae.by_numpyro(problem, setting)",
}


def rows(setting: Setting) -> Iterator[Row]:
    """Yield imports, each in a process of its own, and the first step of a VAE, what is compiled or recorded included."""
    yield Row(
        "import",
        "import in a new process, seconds above torch's",
        {name: partial(_import, name, statement) for name, statement in _IMPORTS.items()},
        goals={"probgen": Goal(0.1, 0.2)},
        compare="difference",
        trains=False,
    )
    yield Row(
        "first-step",
        "VAE 784-400-400-20: from the imports to the end of the first step, seconds above the hand-written loop's",
        {name: partial(_first_step, name, expression, setting) for name, expression in _MAKERS.items()},
        compare="difference",
        trains=False,
    )


def _import(name: str, statement: str) -> Contestant:
    _require(name)

    def step() -> float:
        start = time.perf_counter()
        _python(statement)
        return time.perf_counter() - start

    return Contestant(step, clocked=True)


def _first_step(name: str, expression: str, setting: Setting) -> Contestant:
    _require(name)
    if name == "probgen inductor" and not setting.inductor:
        raise Unavailable("--no-inductor")
    imports = {"pyro": "import pyro", "numpyro": "import numpyro"}.get(name, "")
    program = _TIMED.format(imports=imports, threads=setting.threads, device=setting.device, make=expression)

    def step() -> float:
        with tempfile.TemporaryDirectory() as folder:  # nothing that was compiled before may help
            return float(_python(program, TORCHINDUCTOR_CACHE_DIR=folder).split()[-1])

    return Contestant(step if name != "probgen inductor" else functools.cache(step), clocked=True)


def _require(name: str) -> None:
    package = name.split()[0]
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"no {package}", name=package)


def _python(program: str, **environment: str) -> str:
    command: Sequence[str] = [sys.executable, "-W", "ignore", "-c", program]
    finished = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(finished.stderr.strip().splitlines()[-1])
    return finished.stdout

"""What importing a module may not change: random streams, the default type, threads, and the like."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from probgen.streams import preserved_streams

__all__ = ["changed_by_executing", "changed_by_importing"]

_PROGRAM = (
    "import json, sys; from probgen.testing.surroundings import changed_by_first_import as changed; "
    "print(json.dumps(changed(sys.argv[1])))"
)


def changed_by_executing(module: str) -> list[str]:
    """Return what running the code of an imported module once more changes, in words; all of it is put back.

    Raises:
        Exception: whatever the code raises, as code that may run but once does.
    """
    with _restored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of runpy, that the module has been imported already; of the code, those of old
        _advance()
        before = _observed()
        runpy.run_module(module, run_name=module)
        return _differences(before, _observed())


def changed_by_importing(module: str) -> list[str]:
    """Return what importing the module in a fresh process changes, in words.

    Raises:
        RuntimeError: it cannot be imported there.
    """
    search = os.pathsep.join(path for path in sys.path if path)
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    if run.returncode:
        raise RuntimeError(f"a fresh process cannot import {module}: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout.splitlines()[-1])


def changed_by_first_import(module: str) -> list[str]:
    """Import the module and return what that changed, in words."""
    _advance()
    before = _observed()
    importlib.import_module(module)
    return _differences(before, _observed())


def _advance() -> None:
    """Draw from each stream, so that none stands where a seed would put it."""
    torch.rand(())
    random.random()
    np.random.random()


def _observed() -> dict[str, Any]:
    return {
        "torch's random stream": torch.get_rng_state().tolist(),
        "numpy's random stream": repr(np.random.get_state()),
        "Python's random stream": random.getstate(),
        "the default floating-point type": str(torch.get_default_dtype()),
        "the number of threads": torch.get_num_threads(),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "whether algorithms are deterministic": torch.are_deterministic_algorithms_enabled(),
        "the environment": dict(os.environ),
    }


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [what for what, value in before.items() if after[what] != value]


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Put back, after the block, whatever is observed."""
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    python, array, environment = random.getstate(), np.random.get_state(), dict(os.environ)
    try:
        with preserved_streams():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
        if torch.are_deterministic_algorithms_enabled() != deterministic:  # setting it imports a compiler, which takes long
            torch.use_deterministic_algorithms(deterministic)
        random.setstate(python)
        np.random.set_state(array)
        os.environ.clear()
        os.environ.update(environment)

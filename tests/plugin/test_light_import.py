"""Listing what is registered must be quick, so nothing on the way may import torch, Pyro or pydantic."""

from __future__ import annotations

import subprocess
import sys

LISTING = """
import sys
import probgen.plugin
from probgen.plugin import ModelSpec, hookimpl, registry

found = registry()
assert "elbo" in found.estimators, found.problems
assert "acme/cloud" in found.models, found.problems
heavy = {"torch", "pyro", "pydantic", "numpy", "acme_models"} & set(sys.modules)
assert not heavy, heavy
from probgen.plugin import parse_assignments, validate
assert validate({}, found.model("acme/cloud").spec.options, owner="acme/cloud")["scale"] == 1.0
assert "torch" not in sys.modules
"""


def test_discovery_imports_nothing_heavy(acme):
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LISTING}"],
        env={"PROBGEN_PLUGINS": "acme"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr

"""Fake installed distributions: a module, and the metadata that an installer would have written."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from probgen.plugin import registry

ACME = Path(__file__).parent / "acme"


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch):
    """Discover anew in each test, and forget the modules of its fake distributions afterwards."""
    monkeypatch.delenv("PROBGEN_PLUGINS", raising=False)
    monkeypatch.delenv("PROBGEN_STRICT_PLUGINS", raising=False)
    before = set(sys.modules)
    registry.cache_clear()
    yield
    registry.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith(("acme_", "fake_")):
            del sys.modules[name]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder that Python searches for modules and distributions."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site):
    """Return a function that installs a distribution whose plugin module has the given source."""

    def install(distribution, source=None, *, version="1.0", plugin=None, entry=None):
        stem = distribution.replace("-", "_")
        if source is not None:
            (site / f"{stem}_plugin.py").write_text(dedent(source))
        info = site / f"{stem}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[probgen]\n{plugin or distribution} = {entry or f'{stem}_plugin'}\n")
        registry.cache_clear()

    return install


@pytest.fixture
def acme(install, monkeypatch):
    """The distribution acme 1.2, whose plugin is right in every way but for two missing targets."""
    monkeypatch.syspath_prepend(ACME)
    install("acme", version="1.2")

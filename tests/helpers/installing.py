"""Distributions that are found as if pip had installed them, for as long as a test lasts."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probgen.plugin import registry


@contextmanager
def installed(folder: Path, site: Path) -> Iterator[None]:
    """Let Python and probgen find the distribution whose project is in `folder`, as `pip install -e` would.

    Args:
        folder: Where its pyproject.toml is.
        site: An empty folder for what an installer writes.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    name, version = project["project"]["name"], project["project"]["version"]
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    points = "".join(f"{key} = {target}\n" for key, target in project["project"]["entry-points"]["probgen"].items())
    (metadata / "entry_points.txt").write_text(f"[probgen]\n{points}", encoding="utf-8")
    added = [str(site), *(str((folder / package).parent) for package in packages)]
    names = {Path(package).name for package in packages}
    sys.path[:0] = added
    registry.cache_clear()
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)
        for module in [module for module in sys.modules if module.partition(".")[0] in names]:
            del sys.modules[module]
        registry.cache_clear()

"""Data: sources, views, splits, and everything that reads them.

Names are resolved on first use, so that the data sets can be listed (`probgen.data.specs`) without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver

_HOMES = {
    "Frame": "probgen.data.frame",
    "Source": "probgen.data.source",
    "Split": "probgen.data.split",
    "View": "probgen.data.view",
    "as_source": "probgen.data.loading",
    "matching_view": "probgen.data.matching",
}

__all__ = ["Frame", "Source", "Split", "View", "as_source", "matching_view"]

if TYPE_CHECKING:
    from probgen.data.frame import Frame
    from probgen.data.loading import as_source
    from probgen.data.matching import matching_view
    from probgen.data.source import Source
    from probgen.data.split import Split
    from probgen.data.view import View


__getattr__ = resolver(__name__, _HOMES)

"""Reports: what a run looked like and what it came to, as pictures and one page that opens from disk.

Names are resolved on first use, so that what only formats numbers (`probgen.report.numbers`) comes without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver

_HOMES = {
    "Exhibit": "probgen.report.exhibit",
    "PAGE": "probgen.report.folder",
    "PICTURES": "probgen.report.folder",
    "RunFacts": "probgen.report.facts",
    "draw_pictures": "probgen.report.folder",
    "gallery_page": "probgen.report.gallery",
    "gallery_picture": "probgen.report.gallery",
    "headline": "probgen.report.page",
    "write_page": "probgen.report.folder",
}

__all__ = [
    "PAGE",
    "PICTURES",
    "Exhibit",
    "RunFacts",
    "draw_pictures",
    "gallery_page",
    "gallery_picture",
    "headline",
    "write_page",
]

if TYPE_CHECKING:
    from probgen.report.exhibit import Exhibit
    from probgen.report.facts import RunFacts
    from probgen.report.folder import PAGE, PICTURES, draw_pictures, write_page
    from probgen.report.gallery import gallery_page, gallery_picture
    from probgen.report.page import headline


__getattr__ = resolver(__name__, _HOMES)

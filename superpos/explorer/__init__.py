"""Pages to explore results in: one self-contained HTML file that opens from disk, or a widget in a notebook."""

from superpos.explorer.assemble import page as page
from superpos.explorer.assemble import write_page as write_page
from superpos.explorer.explore import explore as explore
from superpos.explorer.pack import pack as pack

__all__ = ["explore", "pack", "page", "write_page"]

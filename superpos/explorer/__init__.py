"""Pages to explore results in: one self-contained HTML file that opens from disk, or a widget in a notebook."""

from superpos.explorer.assemble import page as page
from superpos.explorer.assemble import write_page as write_page
from superpos.explorer.page_data import pack as pack
from superpos.explorer.page_or_widget import explore as explore

__all__ = ["explore", "pack", "page", "write_page"]

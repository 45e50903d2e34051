"""The documentation site: `pip install '.[docs]' && sphinx-build -W docs docs/_build`. Neither building nor reading needs
a network.

Markdown pages are written by hand. What can be made from something else is made while building, by the modules in
`extensions/`: the reference from docstrings, the gallery from the records of published figures, the notebooks from
`demos/`, the live pages from small sweeps. None of that is kept under version control.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path[:0] = [str(HERE / "extensions"), str(ROOT)]  # the superpos of this clone, installed or not

from addresses import repository

import superpos

project, author = "superpos", "the superpos contributors"
version = release = superpos.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "docstrings",
    "contents",
    "reference",
    "gallery",
    "open_problems",
    "notebooks",
    "live_pages",
    "sidebars",
]
templates_path = ["templates"]
exclude_patterns = ["_build", "jupyter_execute", "live", "extensions", "templates"]

# Markdown and notebooks: outputs are stored in the notebooks, nothing is executed here.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True

# Python
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes stand in the docstrings; signatures would be unreadable
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
add_module_names = False
python_maximum_signature_line_length = 100
toc_object_entries = False
smartquotes = False  # two hyphens belong to an option

# HTML
(HERE / "live").mkdir(exist_ok=True)
html_theme = "sphinx_book_theme"
html_title = f"superpos {version}"
html_static_path = ["static"]
html_extra_path = ["live"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would fetch pages, which browsers refuse for pages opened from disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "collapse_navbar": True,  # the sidebar opens where one is, so pages stay small
    "navbar_persistent": [],  # the search field stands in the sidebar
}
SITE = os.environ.get("SITE_ADDRESS")
if SITE:  # where versions lie side by side, each in its SITE_FOLDER; a site on a disk has none to switch to
    switcher = {"json_url": f"{SITE}/versions.json", "version_match": os.environ.get("SITE_FOLDER", "latest")}
    html_theme_options |= {"switcher": switcher, "check_switcher": False}  # the file is written after the site
    parts = ["navbar-logo", "version-switcher", "icon-links", "search-button-field", "sbt-sidebar-nav"]
    html_sidebars = {"**": [f"{part}.html" for part in parts]}
if repository():
    html_theme_options |= {"repository_url": repository(), "use_repository_button": True}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

"""Sphinx configuration of the documentation: `make docs`.

Building and reading the pages needs no network.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from public_names import public_modules, sections  # noqa: E402

import graphmask  # noqa: E402

project = "graphmask"
author = "The graphmask developers"
project_copyright = author
release = version = graphmask.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "plain_formulas",
    "mathml",
]
# Links into the documentation of other packages need their inventories, from the network.
if os.environ.get("GRAPHMASK_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "torch_geometric": ("https://pytorch-geometric.readthedocs.io/en/latest", None),
    }

# Two modules may export one name; a reference may lead to either of them.
suppress_warnings = ["ref.python"]
exclude_patterns = ["_build", "_ext", "_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autosummary_generate = True
autosummary_context = {"public": {module: sections(module) for module in public_modules()}}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Shapes", "notes_style")]
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"graphmask {release}"
html_static_path = ["_static"]
html_css_files = ["graphmask.css"]
html_favicon = "_static/graphmask.svg"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b5380c", "color-brand-content": "#b5380c"},
    "dark_css_variables": {"color-brand-primary": "#ff9466", "color-brand-content": "#ff9466"},
}
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# Files outside this folder that are pages of the site, by their path.
OUTSIDE = {
    "../README": "index",
    "../CHANGELOG": "changelog",
    "../CONTRIBUTING": "contributing",
    "../examples/README": "examples",
}


def link_pages(_app, name, source):
    """Link the pages of files outside this folder, and list the pages of masks."""
    for path, page in OUTSIDE.items():
        source[0] = source[0].replace(f"{path}.md)", f"{page}.md)")
    if name == "families/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n*\n```\n"


def setup(app):
    """Edit the sources of pages when they are read."""
    app.connect("source-read", link_pages)

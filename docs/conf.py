"""How Sphinx builds the documentation: `make docs`.

Nothing is fetched, neither while building nor while reading.
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
if os.environ.get(
    "GRAPHMASK_DOCS_ONLINE"
):  # links into the documentation of others need their inventories
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "torch_geometric": ("https://pytorch-geometric.readthedocs.io/en/latest", None),
    }

# A name that two modules export is described by both; a reference may lead to either.
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


# Files outside this folder that are pages of the site: links to them lead to the pages.
OUTSIDE = {
    "../README": "index",
    "../CHANGELOG": "changelog",
    "../CONTRIBUTING": "contributing",
    "../examples/README": "examples",
}


def link_pages(_app, name, source):
    """What a page needs here, and would be in the way where its file is read as it is."""
    for path, page in OUTSIDE.items():
        source[0] = source[0].replace(f"{path}.md)", f"{page}.md)")
    if name == "families/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n*\n```\n"


def setup(app):
    """Prepare the sources of pages."""
    app.connect("source-read", link_pages)

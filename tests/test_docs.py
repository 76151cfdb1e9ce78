"""The code of every page runs, links lead somewhere, and the reference is complete."""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

import graphmask as gm
import graphmask.datasets
from graphmask.testing import check_mask

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "docs/families", "docs/tutorials", "examples")
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md")),
    )
)


# Pages that train several models.
TRAIN = ("docs/first_model.md",)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


def code_of(page):
    """The code of a page as one script, without its interactive sessions."""
    return "\n".join(block for block in blocks_of(page) if ">>>" not in block)


def sessions_of(page):
    """The interactive sessions of a page, one after the other."""
    return "\n".join(block for block in blocks_of(page) if ">>>" in block)


def prose_of(page):
    """A page without its code."""
    return re.sub(
        r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    )


def targets_of(page):
    """Targets of the links of a page."""
    return re.findall(r"\]\(([^)\s]+)[^)]*\)", prose_of(page))


def links_of(page):
    """Targets inside this repository."""
    paths = (target.partition("#")[0] for target in targets_of(page))
    return [path for path in paths if path and not re.match(r"[a-z]+:", path)]


def anchors_of(path):
    """Names of the headings of a page, as both GitHub and Sphinx make them."""
    headings = re.findall(
        r"^#+ (.*)$",
        re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE),
        re.MULTILINE,
    )
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.fixture
def page_module(tmp_path, monkeypatch):
    def load(page):
        (tmp_path / "code_of_page.py").write_text(code_of(page))
        return importlib.import_module("code_of_page")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)  # pages may write files
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for models this small
    yield load
    torch.set_num_threads(threads)
    sys.modules.pop("code_of_page", None)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in TRAIN else [])
        for page in PAGES
        if code_of(page)
    ],
)
def test_code_runs(page, page_module):
    torch.manual_seed(0)
    page_module(page)


@pytest.mark.parametrize("page", [page for page in PAGES if sessions_of(page)])
def test_sessions_print_what_they_show(page):
    torch.manual_seed(0)
    session = doctest.DocTestParser().get_doctest(sessions_of(page), {}, page, page, 0)
    assert session.examples
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session).failed == 0


def test_pages_that_must_have_code_do():
    assert all(code_of(page) for page in ("README.md", "CONTRIBUTING.md"))
    families = [
        page
        for page in PAGES
        if page.startswith("docs/families/") and Path(page).stem not in ("README", "costs")
    ]
    assert families
    assert [page for page in families if not blocks_of(page)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert [
        link for link in links_of(page) if not (ROOT / page).parent.joinpath(link).exists()
    ] == []


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_headings(page):
    for target in targets_of(page):
        path, _, anchor = target.partition("#")
        if anchor and not urlsplit(target).scheme:
            file = ROOT / page if not path else (ROOT / page).parent / path
            assert anchor in anchors_of(file), f"{target}: {file.name} has {anchors_of(file)}"


@pytest.mark.parametrize("page", PAGES)
def test_links_elsewhere_are_well_formed(page):
    for target in targets_of(page):
        link = urlsplit(target)
        if link.scheme:
            assert link.scheme == "https", target
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", link.netloc), target


def exported(module):
    """Public names of a module from its own package, whatever ``__all__`` says."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("graphmask")
    }


PUBLIC = ["graphmask", "graphmask.datasets", "graphmask.extras"] + [
    f"graphmask.{found.name}"
    for found in pkgutil.iter_modules(gm.__path__)
    if found.ispkg and not found.name.startswith("_")
]


@pytest.fixture
def reference(monkeypatch):
    """The extension that lists the names of the reference."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    yield importlib.import_module("public_names")
    sys.modules.pop("public_names", None)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name, reference):
    assert f"\n   {name}\n" in text_of("docs/api/index.rst")
    listed = {public for names in reference.sections(name).values() for public in names}
    assert exported(importlib.import_module(name)) - listed == set()
    module = importlib.import_module(name)
    assert [public for public in listed if not inspect.getdoc(getattr(module, public))] == []


def test_reference_knows_every_public_module(reference):
    assert set(reference.public_modules()) == set(PUBLIC)


def titles_in_docstrings():
    """Titles in the sources of docstrings, with the file that names them."""
    for path in (*ROOT.glob("graphmask/**/*.py"), *ROOT.glob("datasets/*.py")):
        for source in re.findall(
            r"^ *Source: (.*?)(?:\n\n|\"\"\")", path.read_text(), re.DOTALL | re.MULTILINE
        ):
            for title in re.findall(r'"([^"]+)"', " ".join(source.split())):
                yield title, path.name


def test_every_source_is_among_the_references():
    def plain(text):
        return re.sub(r"[^a-z0-9]", "", text.lower().replace("ä", "ae").replace("ü", "ue"))

    known = plain(text_of("docs/references.md"))
    found = list(titles_in_docstrings())
    assert len(found) > 50
    assert sorted({(title, file) for title, file in found if plain(title) not in known}) == []


def test_every_mask_is_in_the_index_of_families():
    masks = (
        name
        for name, thing in vars(gm.masks).items()
        if inspect.isclass(thing) and issubclass(thing, gm.masks.TopologicalMask)
    )
    known = {"TopologicalMask", "SumMask", "ScaledMask"}
    index = text_of("docs/families/README.md")
    assert [name for name in masks if name not in known and f"`{name}" not in index] == []


def test_guide_mask_obeys_the_laws(page_module):
    torch.manual_seed(0)
    check_mask(page_module("CONTRIBUTING.md").DecayMask(heads=2))

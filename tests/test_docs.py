"""The code of every page runs as it stands, and what pages point to is there."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

import graphmask as gm
from graphmask.testing import check_mask

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"))
)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


def code_of(page):
    """The blocks of a page, one after the other: they share their names. What prompts show is run by another test."""
    return "\n".join(block for block in blocks_of(page) if ">>>" not in block)


def sessions_of(page):
    """The blocks of a page that show prompts and what is printed, one after the other."""
    return "\n".join(block for block in blocks_of(page) if ">>>" in block)


def links_of(page):
    """Files that a page points to, inside this repository."""
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.fixture
def page_module(tmp_path, monkeypatch):
    def load(page):
        (tmp_path / "code_of_page.py").write_text(code_of(page))
        return importlib.import_module("code_of_page")

    monkeypatch.syspath_prepend(tmp_path)
    yield load
    importlib.sys.modules.pop("code_of_page", None)


@pytest.mark.parametrize("page", [page for page in PAGES if code_of(page)])
def test_code_runs(page, page_module):
    torch.manual_seed(0)
    page_module(page)


@pytest.mark.parametrize("page", [page for page in PAGES if sessions_of(page)])
def test_sessions_print_what_they_show(page):
    torch.manual_seed(0)
    session = doctest.DocTestParser().get_doctest(sessions_of(page), {}, page, page, 0)
    assert session.examples
    assert doctest.DocTestRunner().run(session).failed == 0


def test_pages_that_must_have_code_do():
    assert all(code_of(page) for page in ("README.md", "CONTRIBUTING.md"))
    families = [page for page in PAGES if page.startswith("docs/families/") and Path(page).stem not in ("README", "costs")]
    assert families
    assert [page for page in families if not blocks_of(page)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert [link for link in links_of(page) if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_mask_is_in_the_index_of_families():
    masks = (
        name for name, thing in vars(gm.masks).items() if inspect.isclass(thing) and issubclass(thing, gm.masks.TopologicalMask)
    )
    known = {"TopologicalMask", "SumMask", "ScaledMask"}
    index = text_of("docs/families/README.md")
    assert [name for name in masks if name not in known and f"`{name}" not in index] == []


def test_guide_mask_obeys_the_laws(page_module):
    torch.manual_seed(0)
    check_mask(page_module("CONTRIBUTING.md").DecayMask(heads=2))

"""The code in the README and in the guide for contributors runs as it stands."""

import importlib
import re
from pathlib import Path

import pytest
import torch

from graphmask.testing import check_mask

ROOT = Path(__file__).parents[1]


def code_of(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    return "\n".join(blocks)


@pytest.fixture
def page_module(tmp_path, monkeypatch):
    def load(page):
        (tmp_path / "code_of_page.py").write_text(code_of(page))
        return importlib.import_module("code_of_page")

    monkeypatch.syspath_prepend(tmp_path)
    yield load
    importlib.sys.modules.pop("code_of_page", None)


def test_readme_code_runs(page_module):
    torch.manual_seed(0)
    page_module("README.md")


def test_guide_mask_obeys_the_laws(page_module):
    torch.manual_seed(0)
    check_mask(page_module("CONTRIBUTING.md").DecayMask(heads=2))


def test_guide_to_feature_maps_runs(page_module):
    torch.manual_seed(0)
    page_module("docs/features.md")

from __future__ import annotations

import pytest
import torch

from graphmask.benchmark import gpu


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 2
    assert "needs a CUDA device" in capsys.readouterr().err


def test_rings_have_rows_of_equal_length_around_the_node() -> None:
    pattern = gpu.ring(6, 4, "cpu")
    assert pattern.rowptr.diff().tolist() == [4] * 6
    assert pattern.col[:4].tolist() == [0, 1, 4, 5]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_all_sides_are_timed() -> None:
    assert [timed.side for timed in gpu.time_all(1_024)] == [
        "pairs",
        "FlexAttention",
        "SDPA with a bias",
    ]

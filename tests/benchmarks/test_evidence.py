"""docs/evidence.md is what the result files say."""

from pathlib import Path

from benchmarks.evidence.__main__ import write_page
from benchmarks.evidence.claims import NEEDED
from benchmarks.evidence.experiment import EXPERIMENTS
from benchmarks.evidence.page import page
from pipeline.params import load_params
from pipeline.places import read_json

ROOT = Path(__file__).parents[2]
TEXT = """# Page

<!-- verdicts: written by the command -->
outdated
<!-- end -->
kept
<!-- numbers: written by the command -->
<!-- end -->
<!-- scores: written by the command -->
<!-- end -->
<!-- runs: written by the command -->
<!-- end -->
"""


def result(verdict: str) -> dict[str, object]:
    numbers = [
        {"name": "p: rise", "value": 1.5, "low": 1.2, "high": 1.9, "p": None, "factor": True},
        {"name": "pn-0.9 - p", "value": 0.031, "low": 0.01, "high": 0.05, "p": 0.001, "factor": False},
    ]
    claim = {"key": "c", "backbone": "lite0", "text": "p is worse", "verdict": verdict, "numbers": numbers}
    head = {"seeds": [0, 1], "scores": {"accuracy_top1": [0.9, 0.8]}, "seconds": 12.4}
    return {
        "claims": [claim], "heads": {"p": head}, "baselines": {"majority class": {"accuracy_top1": 0.25}},
        "images": {"train": 10, "val": 2, "test": 3},
        "training_hours": 0.51, "processor": "2 cores, X", "torch": "2.13",
    }  # fmt: skip


def test_the_committed_page_is_that_of_the_committed_results(tmp_path):
    before = (ROOT / "docs/evidence.md").read_text()
    found = {
        path.stem: read_json(path) for path in sorted((ROOT / EXPERIMENTS).glob("*.json"), key=lambda path: path.stem)
    }
    assert page(before, found) == before
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/evidence.md").write_text(before)
    write_page(tmp_path)  # without results it stays as it is
    assert (tmp_path / "docs/evidence.md").read_text() == before


def test_the_parts_between_the_marks_are_written_from_the_results():
    text = page(TEXT, {"drawn": result("open"), "photographs": result("refuted")})
    assert "| (c) p is worse | **cannot be told** | **refuted** |" in text
    assert "outdated" not in text
    assert "kept" in text
    assert "| p: rise | 1.50 [1.20, 1.90] | 1.50 [1.20, 1.90] |" in text
    assert "| pn-0.9 - p | **+3.1 [+1.0, +5.0]** |" in text
    assert "| `p` | 85.0 | 12 |" in text
    assert "| *majority class* | 25.0 | - |" in text
    assert "| drawn | 10 / 2 / 3 | 0, 1 | 0.5 | 2 cores, X; torch 2.13 |" in text
    assert page(text, {"drawn": result("open"), "photographs": result("refuted")}) == text


def test_every_experiment_can_be_loaded_and_has_the_heads_of_the_claims():
    for path in (ROOT / EXPERIMENTS).glob("*.yaml"):
        params = load_params(path)
        heads = {str(cell.head.without_seed) for cell in params.cells()}
        assert any({*needed} <= heads for needed in (NEEDED["d"], NEEDED["paper"]))
        assert params.train.epochs >= 10

"""A champion by commands: promoted, verified, drifted, taken back."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient
from mlflow import MlflowClient
from PIL import Image

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.network.checkpoint import ModelCard, save_model
from pipeline import champion, drift, export, gate, predict, verify
from pipeline.counts import IMAGES, count_predictions, prometheus_text, read_counts
from pipeline.drift import compare_shares
from pipeline.serve import create_app
from pipeline.track import track
from pipeline.tracking.registry import load_predictor

ROOT = Path(__file__).parents[2]
NETWORK = "shufflenet_v2_x0_5"
FIRST, SECOND = f"{NETWORK}-p", f"{NETWORK}-pn-0.9"
pytestmark = pytest.mark.usefixtures("mlflow_environment")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(project: Path, write_cell: Callable[..., None]) -> Path:
    """A project of two tracked cells, the second surely better, whose networks predict."""
    for cell, right in {FIRST: 30, SECOND: 55}.items():
        write_cell(cell, found=[number < right for number in range(60)])
        recipe = cell.removeprefix(f"{NETWORK}-")
        torch.manual_seed(0)
        model = ACoL(NETWORK, recipe, 2, output_stride=16)
        card = ModelCard(NETWORK, recipe, 16, ("keeper", "referee"), Preprocessing(64, 72), "float32")
        save_model(project / "models" / cell / "best.pt", card, model.state_dict())
        table = project / "results" / cell / "images.csv"
        pd.read_csv(table).assign(predicted="keeper", probability=0.95, above_tau=0.05).to_csv(table, index=False)
    (project / "report").mkdir()
    (project / "report" / "runs.json").write_text(json.dumps(track([FIRST, SECOND], project, "acol")))
    shutil.copy(ROOT / "params.yaml", project)
    return project


@pytest.fixture
def call(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A function that runs a command in the project; it returns its exit status and what it says."""
    monkeypatch.chdir(root)

    def run(command: Callable[[], None], *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acol", *map(str, arguments)])
        try:
            command()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return (status, *capsys.readouterr())

    return run


def champion_of(client: MlflowClient) -> int:
    return int(client.get_model_version_by_alias("acol", "champion").version)


def choose(cell: str) -> None:
    Path("report/best.json").write_text(json.dumps({"cell": cell}))


def test_a_champion_is_promoted_drifts_and_is_taken_back(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(champion.main) == (0, "acol: no version yet; run `acol gate`\n", "")
    for cell in (FIRST, SECOND):
        choose(cell)
        assert call(gate.main)[1].startswith(f"promoted: {cell}")
    client = MlflowClient()
    card = client.get_model_version_by_alias("acol", "champion").description
    assert "| MaxBoxAccV2 | 91.7 | 60 |" in card
    assert "| keeper | 100.0 [94.0, 100.0] | 60 | 91.7 [81.9, 96.4] |" in card
    assert f"`python -m pipeline.train {NETWORK} pn-0.9`" in card

    # What it predicts on other images is not what it predicted on the test images.
    pixels = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    Path("new").mkdir()
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(f"new/{number}.png")
    for folder in ("one", "two"):
        assert call(predict.main, "new", "--out", folder, "--counts", "counts.txt", "--quiet")[0] == 0
        shutil.rmtree(folder)
    assert read_counts(Path("counts.txt"))[IMAGES] == 24
    status, printed, _ = call(drift.main, "counts.txt")
    assert (status, printed.splitlines()[-1]) == (3, "drifted")
    assert "region at most 0.1 of the image: 100.0 % of the test images, 0.0 % now; -100.0 points [-100.0, " in printed

    # A kill between the reason and the alias leaves the champion; the same command goes on.
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(MlflowClient, "set_registered_model_alias", _killed)
        champion.take_back(Path.cwd(), "acol", "sees no rain")
    assert champion_of(client) == 2
    status, printed, _ = call(champion.main, "--back", "sees  no rain")
    assert printed == "version 1 of acol is the champion again; version 2 was taken back: sees no rain\n"
    assert champion_of(client) == 1
    lines = call(champion.main)[1].splitlines()
    assert lines[0] == f"1  {FIRST}  MaxBoxAccV2 50.0 %  champion; promoted"
    assert lines[1].startswith(f"2  {SECOND}  MaxBoxAccV2 91.7 %  taken back: sees no rain (")

    # The gate does not bring it back, and there is none before the first.
    status, printed, _ = call(gate.main)
    assert (status, "this model was taken back: sees no rain; to try it again, delete" in printed) == (3, True)
    status, _, printed = call(champion.main, "--back", "worse")
    assert (status, printed) == (2, "error: acol: version 1 has no champion before it; train a better model\n")
    # Nor does a later decision on the first, that it beat the second, bring the first back in its own place.
    decision = json.loads(client.get_model_version("acol", "1").tags["gate"])
    client.set_model_version_tag("acol", "1", "gate", json.dumps(decision | {"against": 2}))
    assert call(champion.main, "--back", "worse")[2] == printed
    client.delete_model_version_tag("acol", "2", "taken_back")
    assert call(gate.main)[1].startswith(f"promoted: {SECOND}")


def _killed(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_model_agrees_with_its_card_until_one_of_both_is_changed(call: Call, root: Path) -> None:
    choose(FIRST)
    call(gate.main)
    status, printed, _ = call(verify.main, "models:/acol@champion")
    assert (status, [line.split(";")[0] for line in printed.splitlines()]) == (
        0,
        ["weights: agree", "card: agrees", "data: agree"],
    )
    assert call(export.main, "models:/acol@champion", "--out", "model.onnx", "--fixed")[0] == 0
    assert call(verify.main, "model.onnx")[0] == 0
    with Path("model.onnx").open("ab") as file:
        file.write(b"more")
    assert "weights: agree NOT; SHA-256" in call(verify.main, "model.onnx")[1]
    Path("model.onnx.card.json").write_text('{"export": null}')
    status, printed, _ = call(verify.main, "model.onnx")
    assert (status, "card: agrees NOT; it was changed after it was written" in printed) == (1, True)
    (file,) = root.glob("mlartifacts/**/card.json")
    changed = json.loads(file.read_text())
    changed["weights"]["licence"] = "mine"
    file.write_text(json.dumps(changed))
    status, printed, _ = call(verify.main, "models:/acol@champion")
    assert (status, "card: agrees NOT; it was changed after it was written" in printed) == (1, True)
    status, _, printed = call(verify.main, f"models/{FIRST}/best.pt")
    remedy = "no such file; name a registered model, or what `acol export` wrote"
    assert (status, printed) == (2, f"error: models/{FIRST}/best.pt.card.json: {remedy}\n")


def test_shares_drift_where_their_difference_is_clear() -> None:
    before = count_predictions([("a", 0.9, 0.2)] * 50 + [("b", 0.9, 0.2)] * 50)
    shifts = {
        shift.name: shift
        for shift in compare_shares(before, count_predictions([("a", 0.9, 0.2)] * 80 + [("b", 0.9, 0.2)] * 20))
    }
    a = shifts['acol_predictions_total{class="a"}']
    assert (a.before, a.now, a.is_clear) == (0.5, 0.8, True)
    # Newcombe's interval of 80/100 - 50/100 at 95 % is [0.170, 0.418]; of 22 shares together it is wider.
    assert 0.06 < a.low < 0.17
    assert 0.418 < a.high < 0.51
    assert not any(
        shift.is_clear
        for shift in compare_shares(before, count_predictions([("a", 0.9, 0.2)] * 6 + [("b", 0.9, 0.2)] * 2))
    )


def test_counts_are_what_prometheus_reads(tmp_path: Path) -> None:
    counts = count_predictions([('say "a"', 0.55, 0.05), ("b", 0.999, 0.3)])
    text = prometheus_text(counts)
    assert 'acol_predictions_total{class="say \\"a\\""} 1' in text.splitlines()
    assert 'acol_probability_bucket{le="0.6"} 1' in text.splitlines()
    assert 'acol_region_bucket{le="+Inf"} 2' in text.splitlines()
    assert "acol_region_count 2" in text.splitlines()
    (tmp_path / "counts.txt").write_text(text)
    assert read_counts(tmp_path / "counts.txt") == counts


def test_a_service_says_what_it_predicted_and_that_it_is_ready(root: Path) -> None:
    client = TestClient(create_app(load_predictor(str(root / "models" / FIRST), root), "mine"))
    assert "acol_images_total 0" in client.get("/metrics").text.splitlines()
    Image.new("RGB", (40, 30)).save(root / "one.png")
    client.post("/predict", content=(root / "one.png").read_bytes(), headers={"content-type": "image/png"})
    assert "acol_images_total 1" in client.get("/metrics").text.splitlines()
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/acol").json()["versions"] == ["mine"]
    mlflow.set_tracking_uri(None)

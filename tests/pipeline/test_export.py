"""`acol export` on the command line."""

import json
from types import SimpleNamespace

import pytest
import torch

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.network.checkpoint import ModelCard, save_model
from pipeline import export


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = ACoL("timm/test_efficientnet.r160_in1k", "p", 2)
    card = ModelCard("timm/test_efficientnet.r160_in1k", "p", 32, ("cat", "dog"), Preprocessing(64, 72), "float32")
    save_model(tmp_path / "best.pt", card, model.state_dict())


def test_a_checkpoint_becomes_a_file(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["export", "best.pt", "--out", "model.pt2"])
    export.main()
    assert capsys.readouterr().out.startswith("model.pt2: ")
    facts = {"facts.json": ""}
    program = torch.export.load("model.pt2", extra_files=facts)
    assert json.loads(facts["facts.json"])["classes"] == ["cat", "dog"]
    probabilities, maps = program.module()(torch.zeros(4, 3, 96, 64))
    assert probabilities.shape == (4, 2)
    assert maps.shape == (4, 96, 64)
    with pytest.raises(SystemExit, match="2"):  # it would replace the file
        export.main()
    assert capsys.readouterr().err == "error: --out model.pt2: exists; name a new file\n"
    monkeypatch.setattr("sys.argv", ["export", "best.pt", "--out", "model.bin"])
    with pytest.raises(SystemExit, match="2"):
        export.main()
    assert "--out model.bin: no .onnx or .pt2 file; add --format onnx or --format torch" in capsys.readouterr().err


def test_int8_needs_the_project_of_the_model(checkpoint, monkeypatch, capsys, tmp_path):
    (tmp_path / "models/cell").mkdir(parents=True)
    (tmp_path / "best.pt").rename(tmp_path / "models/cell/best.pt")
    for model in ("models/cell/best.pt", "models/cell"):  # a folder stands for the checkpoint in it
        monkeypatch.setattr("sys.argv", ["export", model, "--int8", "--out", "model.onnx"])
        with pytest.raises(SystemExit, match="2"):
            export.main()
        error = capsys.readouterr().err
        assert error.startswith(f"error: --int8: {tmp_path / 'params.yaml'} is missing. Images of the model's project")
        assert "export without --int8" in error
    assert not (tmp_path / "model.onnx").exists()


def test_a_model_of_several_scales_is_refused_unless_one_is_asked_for(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(export, "load_predictor", lambda *_: SimpleNamespace(scales=(1.0, 1.5)))
    written = []
    monkeypatch.setattr(export, "export", lambda _, file, *rest: file.touch() or written.append(rest))
    call = ["export", "best.pt", "--out", str(tmp_path / "model.onnx")]
    monkeypatch.setattr("sys.argv", call)
    with pytest.raises(SystemExit, match="2"):
        export.main()
    assert "error: best.pt: its maps are means over the scales 1, 1.5. The file's maps" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*call, "--scales", "1"])
    export.main()
    assert written == [("onnx", False)]

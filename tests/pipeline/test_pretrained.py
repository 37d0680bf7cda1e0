"""The stage that turns a source into one verified weights file, for every kind of source."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
import yaml

from acol.files import sha256
from acol.network.backbones import build_backbone
from acol.network.weights import package_file, tensor_bytes
from pipeline import pretrained

ROOT = Path(__file__).parents[2]
FOLDER = Path("pretrained/mine")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Write params.yaml with one backbone named `mine` into a folder of the test's own, and run the stage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pretrained", "mine"])

    def run(**entry):
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        content |= {"backbones": {"mine": entry}, "grid": {"backbones": ["mine"], "heads": ["p"]}}
        Path("params.yaml").write_text(yaml.safe_dump(content))
        pretrained.main()
        return json.loads((FOLDER / "source.json").read_text())

    return run


@pytest.fixture
def refusal(make, capsys):
    """Run the stage and return the one line in which it refuses."""

    def run(**entry):
        with pytest.raises(SystemExit) as ended:
            make(**entry)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert not FOLDER.exists()
        return line

    return run


@pytest.fixture
def resnet(tmp_path):
    """A file of a whole torchvision model with another number of classes, and what a `file` source says of it."""
    path = tmp_path / "w.pth"
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), path)
    return {"model": "resnet18", "source": "file", "path": str(path), "sha256": sha256(path)}


def trunk_of(model):
    """The backbone that the written file makes."""
    return build_backbone(model, weights=FOLDER / "weights.pth")


def test_the_package(make):
    source = make(model="timm/tf_efficientnet_lite0", source="package")
    assert source["weights_sha256"] == sha256(FOLDER / "weights.pth")
    assert (source["licence"], source["mean"], source["std"]) == ("Apache-2.0", [0.5] * 3, [0.5] * 3)
    original = list(torch.load(package_file("tf_efficientnet_lite0"), weights_only=True).values())
    trunk = trunk_of("timm/tf_efficientnet_lite0")
    state = list(trunk.library_module.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(state, original, strict=False))
    assert (trunk.mean, trunk.provenance.licence) == ((0.5, 0.5, 0.5), "Apache-2.0")  # they travel with the file


def test_a_file_of_torchvisions_names(make, resnet):
    source = make(**resnet, mean=[0.4, 0.5, 0.6])
    assert source["mean"] == [0.4, 0.5, 0.6]
    assert source["std"] == list(torchvision.models.ResNet18_Weights.DEFAULT.transforms().std)
    original = torch.load(resnet["path"], weights_only=True)
    state = trunk_of("resnet18").state_dict()
    assert all(torch.equal(value, original[key]) for key, value in state.items())
    assert trunk_of("resnet18").mean == (0.4, 0.5, 0.6)


def test_a_vits_file_as_safetensors(make, tmp_path):
    whole = timm.create_model("test_vit", num_classes=0)
    path = tmp_path / "vit.safetensors"
    safetensors.torch.save_file(whole.state_dict(), path)
    make(model="timm/test_vit", source="file", path=str(path), sha256=sha256(path))
    state = trunk_of("timm/test_vit").library_module.state_dict()
    assert all(torch.equal(state[key], value) for key, value in whole.state_dict().items())


def test_timms_own_are_fetched_and_pinned(make, refusal, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), path)
    asked = []

    def serve(repository, file):
        asked.append((repository, file))
        return str(path)

    monkeypatch.setattr("acol.network.timm_models.hf_hub_download", serve)
    source = make(model="timm/test_vit", source="timm")
    assert asked == [("timm/test_vit.r160_in1k", "model.safetensors")]
    assert (source["sha256"], source["weights"], source["licence"]) == (sha256(path), "r160_in1k", "apache-2.0")
    FOLDER.rename("elsewhere")
    line = refusal(model="timm/test_vit", source="timm", sha256="0" * 64)
    assert line.startswith("error: backbones.mine.sha256: ")


def test_a_wrong_hash(refusal, resnet):
    assert refusal(**resnet | {"sha256": "0" * 64}).startswith("error: backbones.mine.sha256: ")


def test_a_file_that_is_not_there(refusal, resnet):
    assert "backbones.mine.path: none.pth: no such file" in refusal(**resnet | {"path": "none.pth"})


def test_weights_of_another_architecture(refusal, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(tensor_bytes(torchvision.models.squeezenet1_1(num_classes=2).state_dict()))
    line = refusal(model="resnet18", source="file", path=str(path), sha256=sha256(path))
    assert "of another architecture than resnet18" in line


def test_no_network(refusal, monkeypatch):
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry, "_value_", replace(entry.value, url="http://127.0.0.1:9/r-0000.pth"))
    torch.hub.set_dir(Path("hub").resolve())
    line = refusal(model="resnet18", source="torchvision", weights="IMAGENET1K_V1")
    assert "http://127.0.0.1:9/r-0000.pth cannot be fetched" in line
    assert "name its path" in line


def test_a_backbone_without_settings(make, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pretrained", "mien"])
    with pytest.raises(SystemExit):
        make(model="timm/tf_efficientnet_lite0", source="package")
    assert "params.yaml: backbones has no mien; did you mean mine?" in capsys.readouterr().err

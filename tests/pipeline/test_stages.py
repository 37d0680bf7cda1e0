"""The stages' own work on real folders: what they write, and what bad input leaves behind."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
import yaml

from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.files import sha256
from pipeline import pretrained, split
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the checkout")


@pytest.fixture
def write_params(tmp_path, monkeypatch):
    """Write params.yaml into a working folder of the test's, with some sections changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])

    def write(**sections):
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        for name, changes in sections.items():
            content[name] = {**content[name], **changes}
        Path("params.yaml").write_text(yaml.safe_dump(content))
        return load_params()

    return write


def exit_of(main, capsys):
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err.strip().splitlines()


RACCOONS = {
    "source": "folder",
    "path": str(SHARED / "raccoon-kangaroo"),
    "images": "images",
    "annotations": {"format": "voc", "path": "annotations"},
}


@needs_shared
def test_a_truncated_photograph_is_named_and_nothing_is_left(write_params, capsys):
    write_params(data=RACCOONS)
    status, lines = exit_of(split.main, capsys)
    assert status == 2
    (line,) = lines
    assert "kangaroo-00090.jpg" in line
    assert "truncated" in line
    assert not list(Path("data/split").iterdir())


@needs_shared
def test_a_truncated_photograph_is_left_out_on_request(write_params, capsys):
    write_params(data=RACCOONS | {"unreadable": "leave_out"})
    split.main()
    assert "kangaroo-00090.jpg" in capsys.readouterr().err
    manifest = read_manifest("data/split/manifest.json")
    assert len(manifest.images) == 363
    assert all(image.boxes for image in manifest.images)


@needs_shared
def test_imagenettes_boxes_are_read(write_params):
    data = {"source": "folder", "path": str(SHARED / "imagenette-wsol"), "images": "."}
    write_params(data=data | {"annotations": {"format": "wsol", "path": "metadata/test"}})
    split.main()
    manifest = read_manifest("data/split/manifest.json")
    assert len(manifest.of("test")) == 500
    assert sum(len(image.boxes or ()) for image in manifest.images) == 813
    assert read_manifest("data/split/labels.json") == manifest.for_training()


class TestPretrained:
    @pytest.fixture
    def weights(self, tmp_path):
        path = tmp_path / "w.pth"
        torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), path)
        return path

    def run(self, monkeypatch):
        monkeypatch.setattr("sys.argv", ["pretrained", "resnet18"])
        pretrained.main()

    def test_a_file_is_verified_and_kept_as_a_trunk(self, write_params, weights, monkeypatch):
        source = {"source": "file", "path": str(weights), "sha256": sha256(weights), "mean": [0.5, 0.5, 0.5]}
        write_params(backbones={"resnet18": source})
        self.run(monkeypatch)
        folder = Path("pretrained/resnet18")
        described = json.loads((folder / "source.json").read_text())
        assert described["weights_sha256"] == sha256(folder / "weights.pth")
        assert described["mean"] == [0.5, 0.5, 0.5]
        state, original = torch.load(folder / "weights.pth", weights_only=True), torch.load(weights, weights_only=True)
        assert not [key for key in state if key.startswith("fc")]
        assert all(torch.equal(value, original[key]) for key, value in state.items())

    def test_another_files_checksum_is_refused(self, write_params, weights, monkeypatch, capsys):
        write_params(backbones={"resnet18": {"source": "file", "path": str(weights), "sha256": "0" * 64}})
        status, (line,) = exit_of(lambda: self.run(monkeypatch), capsys)
        assert status == 2
        assert line.startswith("error: backbones.resnet18.sha256: ")
        assert not list(Path("pretrained").iterdir())

    def test_weights_of_another_architecture_are_refused(self, write_params, tmp_path, monkeypatch, capsys):
        path = tmp_path / "vgg.pth"
        torch.save(torchvision.models.squeezenet1_1(num_classes=2).state_dict(), path)
        write_params(backbones={"resnet18": {"source": "file", "path": str(path), "sha256": sha256(path)}})
        status, (line,) = exit_of(lambda: self.run(monkeypatch), capsys)
        assert status == 2
        assert "of another architecture than resnet18" in line

    def test_weights_that_cannot_be_fetched_say_so(self, write_params, monkeypatch, capsys):
        write_params(backbones={"resnet18": {"source": "torchvision", "weights": "IMAGENET1K_V1"}})
        entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
        monkeypatch.setattr(entry, "_value_", entry.value.__class__("http://127.0.0.1:9/r-0000.pth", None, {}))
        torch.hub.set_dir(Path("hub").resolve())
        status, (line,) = exit_of(lambda: self.run(monkeypatch), capsys)
        assert status == 2
        assert "cannot be fetched" in line
        assert "http://127.0.0.1:9/r-0000.pth" in line

    def test_the_proxy_learns_here(self, write_params, monkeypatch, capsys):
        write_params(proxy={"images": 100, "size": 32, "epochs": 1, "batch_size": 25})
        self.run(monkeypatch)
        assert "proxy epoch 1" in capsys.readouterr().out
        described = json.loads(Path("pretrained/resnet18/source.json").read_text())
        assert 0 <= described["proxy"]["accuracy"] <= 1


def test_training_without_weights_names_the_stage(write_params):
    from pipeline.train import job_of

    params = write_params()
    with pytest.raises(InputError, match="run `dvc repro pretrained@resnet18` first"):
        job_of(params, params.cells()[0])

"""The stages' own work on real folders: what they write, and what bad input leaves behind."""

from pathlib import Path

import pytest
import torch
import yaml

from acol import ACoL
from acol.data.manifest import Manifest, read_manifest
from acol.data.transforms import Preprocessing
from acol.errors import InputError
from acol.network.checkpoint import ModelCard, save_model
from examples.footballers.draw import draw_footballers
from pipeline import split
from pipeline.evaluate import Subject
from pipeline.params import load_params
from pipeline.train import job_of

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
    assert not list(Path("data/split").glob("*"))


@needs_shared
def test_a_truncated_photograph_is_left_out_on_request(write_params, capsys):
    write_params(data=RACCOONS | {"unreadable": "leave_out"})
    split.main()
    printed = capsys.readouterr()
    assert "kangaroo-00090.jpg" in printed.err
    assert printed.out.startswith("layout: a folder for each class; val and test are drawn here\n")
    root = load_params().data.root
    manifest = read_manifest("data/split/manifest.json", root)
    assert len(manifest.images) == 363
    assert all(image.boxes for image in manifest.images)
    assert read_manifest("data/split/labels.json", root) == manifest.for_training()


def test_a_folder_holds_its_own_settings_and_those_of_params_come_first(write_params, tmp_path, capsys):
    draw_footballers(tmp_path / "photos", per_class=4, size=48)
    data = {"path": str(tmp_path / "photos"), "val_fraction": 0.25, "test_fraction": 0.25}
    for changes, masks in (({}, True), ({"masks": None}, False)):
        write_params(data=data | changes)
        split.main()
        images = read_manifest("data/split/manifest.json", tmp_path / "photos").images
        assert len(images) == 16
        assert all(image.boxes and (image.mask is not None) == masks for image in images)
    capsys.readouterr()
    for text in ("images: [1]\n", "path: elsewhere\n", "- images\n"):
        (tmp_path / "photos" / "acol.yaml").write_text(text)
        status, (line,) = exit_of(split.main, capsys)
        assert status == 2
        assert "acol.yaml: " in line


def test_training_without_weights_names_the_stage(write_params):
    params = write_params()
    with pytest.raises(InputError, match="run `dvc repro pretrained@lite0` first"):
        job_of(params, params.cells()[0])


def test_a_checkpoint_of_other_classes_is_refused(tmp_path):
    card = ModelCard("timm/test_resnet", "p", 32, ("cat", "dog"), Preprocessing(64, 72), "float32")
    save_model(tmp_path / "best.pt", card, ACoL("timm/test_resnet", "p", 2).state_dict())
    manifest = Manifest(root=tmp_path, classes=("dog", "cat"), images=())
    with pytest.raises(InputError, match=r"best\.pt: was trained on other classes than these images have"):
        Subject.load(tmp_path / "best.pt", manifest, tmp_path, torch.device("cpu"))

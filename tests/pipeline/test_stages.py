"""The stages' own work on real folders: what they write, and what bad input leaves behind."""

from pathlib import Path

import pytest
import yaml

from acol.data.manifest import read_manifest
from acol.errors import InputError
from pipeline import split
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
    said = capsys.readouterr()
    assert "kangaroo-00090.jpg" in said.err
    assert said.out.startswith("layout: a folder for each class; val and test are drawn here\n")
    manifest = read_manifest("data/split/manifest.json")
    assert len(manifest.images) == 363
    assert all(image.boxes for image in manifest.images)
    assert read_manifest("data/split/labels.json") == manifest.for_training()


def test_training_without_weights_names_the_stage(write_params):
    from pipeline.train import job_of

    params = write_params()
    with pytest.raises(InputError, match="run `dvc repro pretrained@lite0` first"):
        job_of(params, params.cells()[0])

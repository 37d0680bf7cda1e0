import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from acol.errors import InputError
from pipeline.params import Params, load_params

DEFAULT = Path(__file__).parents[2] / "params.yaml"
LITE0 = {"model": "timm/tf_efficientnet_lite0", "source": "package"}


@pytest.fixture
def params(tmp_path):
    """Load the default params with some values replaced: {"train.lr": 1}."""

    def load(changes):
        content = yaml.safe_load(DEFAULT.read_text())
        for key, value in changes.items():
            *sections, name = key.split(".")
            section = content
            for part in sections:
                section = section[part]
            section[name] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_params(path)

    return load


def test_every_params_file_of_ours_is_valid():
    for path in [DEFAULT, *DEFAULT.parent.glob("experiments/**/*.yaml")]:
        assert load_params(path).cells()


def test_what_dvc_yaml_names_is_what_has_no_default():
    text = (DEFAULT.parent / "dvc.yaml").read_text()
    named = set(re.findall(r"\$\{((?!item)\w+(?:\.\w+)+)\}", text)) - {"key"}
    named |= {
        name.removesuffix(".${item.backbone}")
        for stage in yaml.safe_load(text)["stages"].values()
        for name in stage.get("params", [])
    }
    required = set()
    for section in fields(Params):
        inner = fields(section.type) if is_dataclass(section.type) else ()
        keys = {key.name for key in inner if key.default is key.default_factory is MISSING}
        if section.default is MISSING:
            required |= {section.name, *(f"{section.name}.{key}" for key in keys)}
    assert named | {name.partition(".")[0] for name in named} == required


def test_what_is_left_out_has_its_default_but_for_what_dvc_wants_which_is_named_with_a_value(tmp_path):
    sparse = {"train": {}}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(sparse))
    with pytest.raises(InputError) as error:
        load_params(path)
    lines = str(error.value).split("\n")
    assert any(line.endswith("params.yaml: image: missing; add image: {}") for line in lines)
    for line in lines:
        key, _, put = line.partition("params.yaml: ")[2].partition(": missing; add ")
        (sparse if "." not in key else sparse["train"]).update(yaml.safe_load(put))
    path.write_text(yaml.safe_dump(sparse))
    assert load_params(path).evaluate.tau == 0.4


def test_acol_train_trains_as_the_photographs_experiment_does():
    names = ("pipeline/defaults.yaml", "experiments/imagenette.yaml")
    ours, theirs = (load_params(DEFAULT.parent / name) for name in names)
    for section in ("backbones", "image", "train", "evaluate", "cams"):
        assert getattr(ours, section) == getattr(theirs, section)


def test_cells_are_the_product_in_order(params):
    cells = params(
        {
            "grid.backbones": ["lite0", "vgg16"],
            "backbones.vgg16": {"source": "torchvision", "weights": "DEFAULT"},
            "grid.heads": ["p", "pn-0.9-s7"],
            "train.seed": 3,
        }
    ).cells()
    assert [cell.name for cell in cells] == ["lite0-p", "lite0-pn-0.9-s7", "vgg16-p", "vgg16-pn-0.9-s7"]
    assert [cell.seed for cell in cells] == [3, 7, 3, 7]
    assert str(cells[1].recipe) == "pn-0.9"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"train.epcohs": 3}, "train.epcohs: unknown key; did you mean epochs?"),
        ({"trian": {}}, "trian: unknown key; did you mean train?"),
        ({"backbones.lite0": {"source": "timm", "wieghts": "x"}}, "wieghts: unknown key; did you mean weights?"),
        ({"train.epochs": 0}, "train.epochs: 0: input should be greater than or equal to 1"),
        ({"train.epochs": 1.5}, "train.epochs: 1.5:"),
        ({"train.epochs": True}, "train.epochs: True:"),
        ({"train.lr": "fast"}, "train.lr: 'fast':"),
        ({"train.lr": float("nan")}, "train.lr: nan:"),
        ({"train.lr": True}, "train.lr: True:"),
        ({"train.optimizer": "adam"}, "train.optimizer: 'adam': input should be 'sgd' or 'adamw'"),
        ({"train.output_stride": 4}, "train.output_stride: 4: input should be 32, 16 or 8"),
        (
            {"data.val_fraction": 0.6, "data.test_fraction": 0.5},
            "data: val_fraction 0.6 and test_fraction 0.5: each must be",
        ),
        ({"data.masks": {"path": "m", "values": "vocc"}}, "data.masks.values: 'vocc': input should be 'voc', 'binary'"),
        (
            {"data.masks": {"path": "m", "values": {"objekt": [1]}}},
            "data.masks.values.objekt: unknown key; did you",
        ),
        ({"data.masks": {"path": "m", "list": "l", "values": "voc"}}, "data.masks: values and list exclude each other"),
        ({"data.masks": 3}, "data.masks: 3: input should be a valid string; correct it"),
        ({"image.train_size": 32}, "image: train_size 32 is smaller than size 224; raise it"),
        ({"evaluate.scales": [0.5, 1]}, "evaluate: scales start with 0.5; put 1"),
        ({"evaluate.maps": ["cam+later"]}, "evaluate: map 'cam+later': unknown; did you mean cam+late"),
        ({"grid.backbones": ["resnet34"]}, "resnet34 has no entry under backbones; add resnet34"),
        ({"grid.backbones": ["lite0", "lite0"]}, "grid.backbones: lite0 is listed twice; remove one"),
        ({"grid.heads": ["p", "p"]}, "grid.heads: p is listed twice"),
        ({"grid.heads": ["p-s1", "p-s01"]}, "grid.heads: head 'p-s01': write it as p-s1, so that a cell has one name"),
        ({"grid.heads": []}, "grid.heads: []:"),
        ({"grid.heads": ["px-0.9"]}, "grid.heads: recipe 'px': unknown letter 'x'"),
        ({"grid.heads": ["pn"]}, "grid.heads: recipe 'pn': 0 deltas for 1 erasing steps"),
        ({"grid.heads": ["pn-1.5"]}, "grid.heads: recipe 'pn': delta 1.5 is outside (0, 1)"),
        ({"grid.heads": ["pn-0.90"]}, "grid.heads: head 'pn-0.90': write it as pn-0.9"),
        ({"backbones.lite0": {"source": "file", "path": "w.pth"}}, "source file needs sha256; add it"),
        ({"backbones.lite0": {"source": "package", "path": "w.pth"}}, "source package takes no path; remove it"),
        (
            {"backbones.x": {"model": "resnet18", "source": "timm"}},
            "backbones.x.source: timm, but resnet18 is a model of torchvision; write torchvision",
        ),
        (
            {
                "backbones": {
                    "lite0": LITE0,
                    "a.b": {"model": "resnet18", "source": "torchvision", "weights": "DEFAULT"},
                }
            },
            "backbone 'a.b': use only letters, digits and _; name the model under model",
        ),
    ],
)
def test_refuses_nonsense_in_one_line_with_the_key(params, changes, line):
    with pytest.raises(InputError) as error:
        params(changes)
    (text,) = str(error.value).splitlines()
    assert line in text
    assert "params.yaml: " in text


def test_lists_all_faults(params):
    with pytest.raises(InputError) as error:
        params({"train.epochs": 0, "train.lr": -1, "cams.sampel": 3})
    assert len(str(error.value).splitlines()) == 3


def test_a_missing_key_is_named(tmp_path):
    content = yaml.safe_load(DEFAULT.read_text())
    del content["train"]["best_by"]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"p\.yaml: train\.best_by: missing; add best_by: \"accuracy\""):
        load_params(tmp_path / "p.yaml")


@pytest.mark.parametrize("text", ["a: [", "\x00", ""])
def test_refuses_what_is_no_params_file(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError, match=r"p\.yaml: "):
        load_params(tmp_path / "p.yaml")
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "none.yaml")


def test_scientific_notation_is_a_number_as_dvc_reads_it(params, tmp_path):
    text = DEFAULT.read_text().replace("weight_decay: 0.02", "weight_decay: 2e-2")
    (tmp_path / "p.yaml").write_text(text)
    assert load_params(tmp_path / "p.yaml").train.weight_decay == 2e-2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"train.epochs": 10**12}, "train.epochs: 1000000000000: input should be less than or equal to 1000000"),
        ({"train.lr": 10**400}, "train.lr: a number of over 30 digits:"),
        ({"train.lr": 1e308}, "train.lr: 1e+308: input should be less than or equal to 100"),
        ({"train.seed": 2**32}, "train.seed: 4294967296: input should be less than 4294967296"),
        ({"train.device": ""}, "train.device: '' is blank or holds control characters; write visible text"),
        ({"data.path": "a\0b"}, "data.path: 'a\\x00b' is blank or holds control characters"),
        ({"backbones.lite0": {"source": "package", "std": [0.2, 0, 0.2]}}, "backbones.lite0.std.1: 0:"),
        ({"backbones.lite0": {"source": "package", "mean": [124, 116, 104]}}, "backbones.lite0.mean.0: 124:"),
        ({"evaluate.scales": [1, 0.5, 0.5]}, "evaluate: scales name a size twice; remove one"),
        ({"grid.heads": ["p-s٣"]}, "grid.heads: head 'p-s٣': unknown word 's٣'; choose one of conv3, has, cutmix, adl"),
        ({"grid.heads": [f"p-s{2**32}"]}, "grid.heads: head 'p-s4294967296': its seed is 2**32 or more; choose"),
        ({"grid.heads": ["p" * 101]}, "grid.heads: head 'pppp"),
        ({"grid.heads": ["p\n"] * 2}, "grid.heads: 'p\\n' is listed twice; remove one"),
        ({"a\nb": 1}, "'a\\nb': unknown key;"),
    ],
)
def test_refuses_what_a_stage_could_not_use(params, changes, line):
    with pytest.raises(InputError) as error:
        params(changes)
    assert any(line in text for text in str(error.value).split("\n"))
    assert all("params.yaml: " in text for text in str(error.value).split("\n"))


def test_every_line_of_the_grids_faults_names_the_file(params):
    with pytest.raises(InputError) as error:
        params({"grid.backbones": ["resnet19", "resnet35"], "grid.heads": ["px-0.9"]})
    lines = str(error.value).split("\n")
    assert len(lines) == 3
    assert all("params.yaml: " in line and "the file" not in line for line in lines)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "p.yaml").write_text(DEFAULT.read_text() + "\ntracking: {experiment: other}\n")
    with pytest.raises(InputError, match=r"p\.yaml: not YAML \(.*duplicate key"):
        load_params(tmp_path / "p.yaml")


def test_numbers_are_those_that_dvc_reads(tmp_path):
    text = DEFAULT.read_text().replace("epochs: 2", "epochs: 0100")  # 64 by YAML 1.1, 100 by 1.2
    (tmp_path / "p.yaml").write_text(text)
    assert load_params(tmp_path / "p.yaml").train.epochs == 100


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "2024-13-45", "1" * 5000, "[" * 2000])
def test_values_that_yaml_cannot_construct_are_one_line(tmp_path, value):
    (tmp_path / "p.yaml").write_text(f"grid: {value}")
    with pytest.raises(InputError) as error:
        load_params(tmp_path / "p.yaml")
    assert "p.yaml: not YAML (" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_params_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        load_params(tmp_path)

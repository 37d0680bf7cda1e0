from pathlib import Path

import pytest
import yaml

from pipeline.check import faults_of
from pipeline.params import Params
from pipeline.strict_yaml import parse_settings

DEFAULT = Path(__file__).parents[2] / "params.yaml"
SIZES = {"size": 128, "train_size": 160}
VIT, DENSENET = ({"model": model} for model in ("timm/test_vit", "densenet121"))


def faults(**sections):
    content = yaml.safe_load(DEFAULT.read_text()) | {"image": SIZES}
    content["evaluate"] |= sections.pop("evaluate", {})
    content["train"] |= {"freeze": "none"} | sections.pop("train", {})
    content |= sections
    library = {True: {"source": "timm"}, False: {"source": "torchvision", "weights": "DEFAULT"}}
    entries = {
        name: library[entry["model"].startswith("timm/")] | entry for name, entry in content["backbones"].items()
    }
    content |= {"backbones": entries, "grid": {"backbones": list(entries), "heads": ["p"]}}
    return list(faults_of(parse_settings(Params, content)))


def test_what_the_grids_backbones_take():
    assert faults() == faults(backbones={"x": VIT, "y": DENSENET}, train={"output_stride": 32}) == []


def test_all_that_they_do_not_take_is_said_at_once():
    wrong = {"a": {"model": "resnet19"}, "b": {"model": "timm/tset_vit"}, "c": {"model": "vit_b_16"}}
    wrong |= {"x": VIT, "y": DENSENET}
    lines = faults(
        backbones=wrong, image=SIZES | {"size": 108}, evaluate={"scales": [1, 0.25]}, train={"output_stride": 32}
    )
    for line, start in zip(
        lines,
        (
            "backbones.a: backbone 'resnet19': unknown to torchvision; did you mean resnet18",
            "backbones.b: backbone 'timm/tset_vit': unknown to timm; did you mean test_vit",
            "backbones.c: backbone vit_b_16: torchvision's transformers have no spatial feature map",
            "image.size: x would see images of 108 pixels, but timm/test_vit takes 96 or 112 pixels",
            "evaluate.scales: x would see images of 27 pixels, but timm/test_vit takes 16 or 32 pixels",
            "evaluate.scales: y would see images of 27 pixels, but densenet121 takes 29 pixels or more",
        ),
        strict=True,
    ):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("train", "line"),
    [
        ({"output_stride": 8}, "backbones.x: backbone timm/test_vit: its layers do not allow output_stride 8; use 16"),
        ({"freeze": "layer5"}, "backbones.x: freeze 'layer5': no such part; choose one of none, stem"),
    ],
)
def test_what_training_would_refuse_of_them(train, line):
    (fault,) = faults(backbones={"x": VIT}, train=train)
    assert fault.startswith(line)

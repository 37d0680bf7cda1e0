"""Damaged checkpoints and weights files: refused by name, never run as code, and never a model that is not whole."""

import argparse
import io
import os
import zipfile
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acol import ACoL
from acol.data.transforms import Preprocessing
from acol.network.backbones import build_backbone, load_weights
from acol.network.checkpoint import ModelCard, load_model
from acol.network.weights import tensor_bytes
from tests.fuzz.mutations import damaged, examples, result_or_clear_lines

NAME = "squeezenet1_1"  # small, and built fast
BACKBONE = build_backbone(NAME)
CARD = ModelCard(NAME, "pn-0.9", 16, ("cat", "dog"), Preprocessing(64, 72), "float32")
CONTENT = {
    "card": asdict(CARD),
    "weights": ACoL(NAME, "pn-0.9", 2, output_stride=16).state_dict(),
}
CHECKPOINT = tensor_bytes(CONTENT)
WEIGHTS = tensor_bytes(BACKBONE.state_dict())
SCRIPTS = tensor_bytes(
    {
        "args": argparse.Namespace(lr=0.1, sizes=[1, 2]),
        "best": np.float64(0.5),
        "name": np.str_("a"),
        "state_dict": BACKBONE.state_dict(),
    }
)
NONSENSE = (
    *(None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**30, "", "x", "p", "pn-0.9", b"", (), ("a",), ("a", "a")),
    *([], ["a", "b"], {}, {"a": 1}, (0.5, 0.5, 0.0), (0.5,) * 4, "resnet18", "vit_b_16", 32, 33, "\n"),
    *(torch.zeros(()), torch.full((64,), float("nan")), torch.zeros(64, dtype=torch.complex64)),
    *(torch.zeros(64, 3, 3, 3, dtype=torch.int64), torch.zeros(3, 3).to_sparse(), torch.empty(64, device="meta")),
)


def old_format(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


OLD_WEIGHTS = old_format(BACKBONE.state_dict())


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def check_model(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    loaded = result_or_clear_lines(lambda: load_model(path), f"{path}: ")
    if loaded is not None:
        model, card = loaded
        size = card.preprocessing.size
        assert len(set(card.classes)) == len(card.classes) == model(torch.zeros(1, 3, 64, 64)).logits.shape[2]
        assert isinstance(size, int)
        assert card.preprocessing.view(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).isfinite().all()
        assert all(value.isfinite().all() for value in model.state_dict().values())


def check_weights(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    result_or_clear_lines(lambda: load_weights(BACKBONE, path), f"weights {path}: ")
    assert all(value.isfinite().all() for value in BACKBONE.state_dict().values())


@st.composite
def repacked(draw: st.DrawFn, data: bytes) -> bytes:
    """A PyTorch archive whose pickle is damaged, under a right checksum."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, draw(damaged(content)) if entry.filename.endswith("data.pkl") else content)
    return file.getvalue()


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """Content of which one value, at whatever depth, is nonsense, gone or too much."""
    content = deepcopy(content)
    place = content
    while True:
        key = draw(st.sampled_from(list(place)))
        if not isinstance(place[key], dict) or draw(st.integers(0, 9)) == 0:
            break
        place = place[key]
    edit = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "key"]))
    if edit == "replace":
        place[key] = draw(st.sampled_from(NONSENSE))
    elif edit == "key":
        place[draw(st.sampled_from([1, None, "x", ("a",)]))] = place.pop(key)
    elif edit == "drop":
        del place[key]
    else:
        place[draw(st.sampled_from(["x", 1, None]))] = draw(st.sampled_from(NONSENSE))
    return content


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", [tensor_bytes, old_format], ids=["zip", "old"])
@examples(25)
@given(data=st.data())
def test_contents(tmp_path: Path, write: Any, data: st.DataObject) -> None:
    check_model(tmp_path / "best.pt", write(data.draw(altered(CONTENT))))
    check_weights(tmp_path / "w.pth", write(data.draw(altered(dict(BACKBONE.state_dict())))))


@pytest.mark.filterwarnings("ignore")
@examples(40)
@given(data=st.data())
def test_bytes(tmp_path: Path, data: st.DataObject) -> None:
    check_model(tmp_path / "best.pt", data.draw(damaged(CHECKPOINT)))
    check_weights(tmp_path / "w.pth", data.draw(damaged(WEIGHTS)))
    check_weights(tmp_path / "old.pth", data.draw(damaged(OLD_WEIGHTS)))


@pytest.mark.filterwarnings("ignore")
@examples(40)
@given(data=st.data())
def test_pickles_with_right_checksums(tmp_path: Path, data: st.DataObject) -> None:
    check_model(tmp_path / "best.pt", data.draw(repacked(CHECKPOINT)))
    check_weights(tmp_path / "w.pth", data.draw(repacked(WEIGHTS)))
    check_weights(tmp_path / "script.pth", data.draw(repacked(SCRIPTS)))


@pytest.mark.parametrize("write", [tensor_bytes, old_format], ids=["zip", "old"])
def test_code_is_not_run(tmp_path: Path, write: Any) -> None:
    code = Code(tmp_path / "ran")
    for content in (code, {**CONTENT, "card": code}, {**CONTENT, "weights": {"x": code}}):
        check_model(tmp_path / "best.pt", write(content))
        check_weights(tmp_path / "w.pth", write(content))
    assert not code.marker.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_compressed_archive_is_not_inflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    data = (tmp_path / "w.pth").read_bytes()
    check_model(tmp_path / "best.pt", data)
    check_weights(tmp_path / "w.pth", data)

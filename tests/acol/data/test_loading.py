import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from acol.data import loading
from acol.data.loading import load_split
from acol.data.manifest import Image, Manifest, write_manifest
from acol.data.transforms import Preprocessing
from acol.files import sha256

ROOT = Path(__file__).parents[3]


@pytest.fixture
def manifest(tmp_path):
    images = []
    for index, (split, label) in enumerate([("train", "b"), ("train", "a"), ("test", "a")]):
        path = tmp_path / f"{index}.png"
        Picture.new("RGB", (20 + index, 30), (40 * index, 100, 200)).save(path)
        images.append(Image(path.name, label, split, sha256(path), 20 + index, 30))
    return Manifest(tmp_path, ("a", "b"), tuple(images))


def test_a_split_is_decoded_in_order_of_path(manifest, tmp_path):
    train = load_split(manifest, "train", 16, tmp_path / "cache")
    assert train.pixels.shape == (2, 16, 16, 3)
    assert train.labels.tolist() == [1, 0]
    assert train.names == ["0.png", "1.png"]
    images, labels = train.batch(np.array([1]))
    assert images.shape == (1, 3, 16, 16)
    assert images[0, :, 5, 5].tolist() == [40, 100, 200]
    assert labels.tolist() == [0]


def test_each_image_is_decoded_once(manifest, tmp_path, monkeypatch):
    first = load_split(manifest, "train", 16, tmp_path / "cache").pixels
    monkeypatch.setattr(loading, "read_image", lambda path: pytest.fail(f"{path} decoded again"))
    assert np.array_equal(load_split(manifest, "train", 16, tmp_path / "cache").pixels, first)


def test_other_contents_and_sizes_are_other_arrays(manifest, tmp_path):
    cache = tmp_path / "cache"
    load_split(manifest, "train", 16, cache)
    load_split(manifest, "train", 8, cache)
    path = Path(manifest.root) / "0.png"
    Picture.new("RGB", (20, 30), (255, 0, 0)).save(path)
    changed = Manifest(manifest.root, manifest.classes, (Image("0.png", "b", "train", sha256(path), 20, 30),))
    assert load_split(changed, "train", 16, cache).pixels[0, 0, 0].tolist() == [255, 0, 0]
    assert len(list(cache.glob("*.npy"))) == 3


def test_nothing_half_decoded_is_left(manifest, tmp_path):
    (Path(manifest.root) / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1\.png"):
        load_split(manifest, "train", 16, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_what_a_killed_process_left_goes_when_the_array_is_made(tmp_path):
    Picture.new("RGB", (2500, 2500)).save(tmp_path / "0.png")  # some 0.1 s each to decode
    digest = sha256(tmp_path / "0.png")
    for index in range(1, 16):
        os.link(tmp_path / "0.png", tmp_path / f"{index}.png")
    images = [Image(f"{index}.png", "a", "train", digest, 2500, 2500) for index in range(16)]
    manifest = Manifest(tmp_path, ("a",), tuple(images))
    write_manifest(tmp_path / "manifest.json", manifest)
    cache = tmp_path / "cache"
    code = """
import sys; from pathlib import Path
from acol.data.loading import load_split
from acol.data.manifest import read_manifest
load_split(read_manifest(sys.argv[1], sys.argv[3]), "train", 64, Path(sys.argv[2]))
"""
    decoding = subprocess.Popen([sys.executable, "-c", code, tmp_path / "manifest.json", cache, tmp_path], cwd=ROOT)
    while decoding.poll() is None and not any(file.stat().st_size for file in cache.glob(".*.npy")):
        time.sleep(0.005)
    decoding.kill()
    decoding.wait()
    assert len(list(cache.glob(".*.npy"))) == 1
    assert load_split(manifest, "train", 64, cache).pixels.shape == (16, 64, 64, 3)
    assert [file.suffix for file in sorted(cache.iterdir())] == [".lock", ".npy"]
    assert not list(cache.glob(".*"))


class TestTransforms:
    preprocessing = Preprocessing(4, 6, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))

    def test_view_by_hand(self):
        pixels = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        view = self.preprocessing.view(pixels)
        # (1 - 0.5) / 0.5, (0 - 0.25) / 0.25, (0.2 - 0) / 1
        torch.testing.assert_close(view[0, :, 0, 0], torch.tensor([1.0, -1.0, 0.2]))
        assert view.is_contiguous(memory_format=torch.channels_last)

    def test_training_crops_and_flips_each_image_for_itself(self):
        ramp = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(64, 3, 6, 6)
        torch.manual_seed(0)
        drawn = self.preprocessing.draw_crops(64)
        views = self.preprocessing.training_view(ramp, drawn)
        torch.manual_seed(0)
        assert torch.equal(drawn, self.preprocessing.draw_crops(64))
        assert views.shape == (64, 3, 4, 4)
        # Each is one of 3 x 3 crops, flipped or not.
        crops = {
            tuple(window.flatten().tolist())
            for y in range(3)
            for x in range(3)
            for crop in [self.preprocessing.view(ramp[:1, :, y : y + 4, x : x + 4])[0]]
            for window in (crop, crop.flip(2))
        }
        seen = {tuple(view.flatten().tolist()) for view in views}
        assert seen <= crops
        assert len(seen) > 12

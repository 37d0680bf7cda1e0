"""The same objects in another format have the same scores; what is predicted and written is read as truth again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acol.data.manifest import Manifest
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from acol.ingest.folder_settings import MaskSource
from acol.localization.map_scores import score_maps
from acol.localization.regions import MAP_SIZE
from acol.prediction.label_files import COPIES, LabelSettings, PredictedImage, copy_image, write_labels
from acol.prediction.predictor import Prediction

CLASSES = ("cat", "dog")
SIZES = ((40, 30), (30, 40), (33, 33), (50, 20))
PLACES = {"coco": "out/annotations.coco.json", "csv": "out/boxes.csv", "yolo": "labels", "voc": "annotations"}
TAU = 0.4


@pytest.fixture
def predicted(tmp_path: Path) -> list[tuple[PredictedImage, Prediction]]:
    """Images under images/, with a map and a box for each."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(16):
        label, (width, height) = CLASSES[n % 2], SIZES[n // 2 % 4]
        path = tmp_path / f"images/{label}/{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        x0, y0, x1, y1 = 3, 4, width - int(rng.integers(2, 12)), height - int(rng.integers(2, 9))
        heat = np.zeros((height, width))
        heat[y0:y1, x0:x1] = 1
        prediction = Prediction(label, 0.9, {}, heat, (width, height), TAU)
        name = copy_image(path, tmp_path / "out" / COPIES, f"{label}__{n}.png")
        rows.append((PredictedImage.of(f"{label}/{n}.png", name, prediction), prediction))
    return rows


def scores(manifest: Manifest) -> dict[str, float]:
    images = manifest.images
    yy, xx = np.mgrid[:MAP_SIZE, :MAP_SIZE] / MAP_SIZE
    maps = np.stack([np.exp(-((xx - 0.4 - 0.01 * n) ** 2 + (yy - 0.5) ** 2) / 0.1) for n in range(len(images))])
    measured = score_maps([maps], images, manifest.root, fixed_tau=TAU, mask_values=manifest.mask_values, resamples=100)
    return {name: interval.value for name, interval in measured.intervals.items()}


def test_boxes_score_the_same_in_every_format(
    tmp_path: Path, predicted: list[tuple[PredictedImage, Prediction]]
) -> None:
    results = {}
    for form, place in PLACES.items():
        write_labels(tmp_path / "out", form, [row for row, _ in predicted], LabelSettings(CLASSES))
        root, label = (tmp_path, "folder") if place.startswith("out") else (tmp_path / "out", "annotation")
        source = AnnotationSource(form, place)
        split = {"test_from": "val"} if form == "yolo" else {}  # its lists give a split
        results[form] = scores(
            read_folder(root, images="images", annotations=source, label_from=label, **split).manifest
        )
    assert "max_box_acc_v2" in results["coco"]
    for form in PLACES:
        assert results[form] == pytest.approx(results["coco"])


def test_predicted_masks_are_read_and_score_the_same_in_four_conventions(
    tmp_path: Path, predicted: list[tuple[PredictedImage, Prediction]]
) -> None:
    conventions = {
        "masks": (None, lambda mask: mask),  # as they are written: 0 and 255
        "voc": (None, lambda mask: np.where(mask > 0, 7, 0)),
        "trimap": ("trimap", lambda mask: np.where(mask > 0, 1, 2)),
        "inverted": ("inverted", lambda mask: 255 - mask),
    }
    results = {}
    for name, (convention, of) in conventions.items():
        for row, prediction in predicted:
            file = tmp_path / name / row.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(prediction.region_png())
            Image.fromarray(of(np.asarray(Image.open(file))).astype(np.uint8)).save(file)
        results[name] = scores(read_folder(tmp_path, images="images", masks=MaskSource(name, convention)).manifest)
    assert "pxap" in results["masks"]
    for name in conventions:
        assert results[name] == pytest.approx(results["masks"])

"""Read our label files with other people's programs: boxes written, boxes read, and whether they lie on the objects.

    python -m venv readers && readers/bin/pip install -r benchmarks/outside_readers.txt
    python -m venv datumaro && datumaro/bin/pip install datumaro==1.13.12      # it needs an older pandas
    python -m venv trainer && trainer/bin/pip install ultralytics==8.4.190     # it brings torch
    python -m benchmarks.outside_readers readers/bin/python datumaro/bin/python trainer/bin/python

It writes a flat and a nested folder of images, whose objects are red, and drafts of them in every format. Names hold
spaces, commas and umlauts, two images are turned by their EXIF orientation, one has two drafts and one has none. Then
each reader that the given Pythons have installed, or this one, reads the drafts. A box counts as read if it is the
written one to half a pixel; it lies on the object if the pixels that the reader itself shows there are red.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Boxes = list[tuple[float, float, float, float]]  # xyxy, half-open
Image = tuple[str, Boxes, Any]  # name, boxes, pixels (H, W, 3) RGB or None
CLASSES = ("big cat, ä", "dog: ß")
# A name, the class, the EXIF orientation and the drafts, in pixels of the upright image.
IMAGES: list[tuple[str, int, int, Boxes]] = [
    ("plain.jpg", 0, 1, [(10, 20, 50, 44)]),
    ("with space, comma.png", 0, 1, [(3.3, 4.6, 70.2, 50.9)]),
    ("größe.JPG", 1, 6, [(5, 8, 30, 70)]),
    ("turned.jpg", 1, 3, [(0, 0, 40, 30)]),
    ("two.webp", 0, 1, [(4, 4, 20, 30), (40, 10, 75, 55)]),
    ("other.gif", 1, 1, [(12, 9, 66, 48)]),
    ("nothing.png", 1, 1, []),
]


def write(root: Path, nested: bool) -> None:
    """Write photographs below root/photos, and all label files into root/out."""
    import numpy as np
    from PIL import Image as Picture

    from acol.localization.regions import Region
    from acol.prediction.label_files import (
        COPIES,
        FORMATS,
        LOCAL,
        LabelSettings,
        PredictedImage,
        copy_image,
        flat_names,
        write_labels,
    )

    paths = {name: f"{CLASSES[of]}/{name}" if nested else name for name, of, *_ in IMAGES}
    names, rows = flat_names(paths.values()), []
    for name, of, turn, boxes in IMAGES:
        size = (60, 80) if turn == 6 else (80, 60)
        pixels = np.full((size[1], size[0], 3), 128, np.uint8)
        for x0, y0, x1, y1 in np.rint(boxes).astype(int).reshape(-1, 4):
            pixels[y0:y1, x0:x1] = 255, 0, 0
        picture, exif = Picture.fromarray(pixels), Picture.Exif()
        exif[274] = turn
        stored = {6: Picture.Transpose.ROTATE_90, 3: Picture.Transpose.ROTATE_180}
        picture = picture.transpose(stored[turn]) if turn in stored else picture
        source = root / "photos" / paths[name]
        source.parent.mkdir(parents=True, exist_ok=True)
        if turn == 1:
            picture.save(source)
        else:
            picture.save(source, exif=exif, quality=95)
        copied = copy_image(source, root / "out" / COPIES, names[paths[name]])
        outlines = [((x0, y0), (x1, y0), (x1, y1), (x0, y1)) for x0, y0, x1, y1 in boxes]
        drafts = tuple(Region(box, 0.5, outline) for box, outline in zip(boxes, outlines, strict=True))
        rows.append(PredictedImage(paths[name], copied, size, CLASSES[of], 0.5, drafts))
    for form in FORMATS:
        write_labels(root / "out", form, rows, LabelSettings(CLASSES, "drafts", url=f"{LOCAL}photos/", outlines=True))


def pixels_of(file: Path) -> Any:
    import numpy as np
    from PIL import Image as Picture

    return np.asarray(Picture.open(file).convert("RGB"))


def supervision(method: str, *places: str) -> Callable[[Path], Iterator[Image]]:
    def read(root: Path) -> Iterator[Image]:
        from supervision import DetectionDataset

        for path, pixels, found in getattr(DetectionDataset, method)(*(str(root / place) for place in places)):
            yield Path(path).name, [tuple(box) for box in found.xyxy.tolist()], pixels[..., ::-1]

    return read


def coco_tool(root: Path) -> Iterator[Image]:
    from pycocotools.coco import COCO

    tool = COCO(str(root / "out/annotations.coco.json"))
    for image in tool.loadImgs(tool.getImgIds()):
        boxes = [entry["bbox"] for entry in tool.loadAnns(tool.getAnnIds(imgIds=[image["id"]]))]
        assert all(tool.annToMask(entry).any() for entry in tool.loadAnns(tool.getAnnIds(imgIds=[image["id"]])))
        yield image["file_name"], [(x, y, x + w, y + h) for x, y, w, h in boxes], None


def torchvision_coco(root: Path) -> Iterator[Image]:
    import numpy as np
    from torchvision.datasets import CocoDetection

    data = CocoDetection(str(root / "photos"), str(root / "out/annotations.coco.json"))
    for number, (picture, entries) in zip(data.ids, data, strict=True):
        boxes = [entry["bbox"] for entry in entries]
        name = data.coco.loadImgs(number)[0]["file_name"]
        yield name, [(x, y, x + w, y + h) for x, y, w, h in boxes], np.asarray(picture)


def torchvision_voc(root: Path) -> Iterator[Image]:
    from torchvision.datasets import VOCDetection

    for file in sorted((root / "out/annotations").glob("*.xml")):
        from xml.etree import ElementTree

        read = VOCDetection.parse_voc_xml(ElementTree.parse(file).getroot())["annotation"]
        boxes = [{side: float(value) for side, value in each["bndbox"].items()} for each in read.get("object", [])]
        # VOC counts from 1.
        corners = [(box["xmin"] - 1, box["ymin"] - 1, box["xmax"], box["ymax"]) for box in boxes]
        yield read["filename"], corners, pixels_of(root / "out" / read["folder"] / read["filename"])


def label_studio(root: Path) -> Iterator[Image]:
    from urllib.parse import parse_qs, urlparse

    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((root / "out/label_config.xml").read_text())
    for task in json.loads((root / "out/tasks.json").read_text()):
        (path,) = parse_qs(urlparse(task["data"]["image"]).query)["d"]
        assert (root / path).is_file(), path
        boxes = []
        for prediction in task["predictions"]:
            errors = interface.validate_prediction(prediction, return_errors=True)
            assert not errors, errors
            for result in prediction["result"]:
                value, width, height = result["value"], result["original_width"], result["original_height"]
                x0, x1 = (share * width / 100 for share in (value["x"], value["x"] + value["width"]))
                y0, y1 = (share * height / 100 for share in (value["y"], value["y"] + value["height"]))
                boxes.append((x0, y0, x1, y1))
        yield path, boxes, None


def hugging_face(root: Path) -> Iterator[Image]:
    import numpy as np
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache:
        data = load_dataset("imagefolder", data_dir=str(root / "out/images"), split="train", cache_dir=cache)
        for row in data:
            boxes = [(x, y, x + w, y + h) for x, y, w, h in row["objects"]["bbox"]]
            yield "", boxes, np.asarray(row["image"].convert("RGB"))


def ultralytics(root: Path) -> Iterator[Image]:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(root / "out/data.yaml"), autodownload=False)
    for split in ("train", "val"):
        for label in YOLODataset(img_path=data[split], data=data, augment=False).labels:
            height, width = label["shape"]
            boxes = [(x * width, y * height, w * width, h * height) for x, y, w, h in label["bboxes"].tolist()]
            corners = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes]
            yield label["im_file"], corners, pixels_of(label["im_file"])


def datumaro(form: str, place: str) -> Callable[[Path], Iterator[Image]]:
    def read(root: Path) -> Iterator[Image]:
        from datumaro import AnnotationType, Dataset

        if form == "cvat":  # as CVAT itself exports it: the images beside the file
            (root / place).mkdir()
            (root / place / "images").symlink_to(root / "photos")
            (root / place / "default.xml").symlink_to(root / "out/annotations.xml")
        for item in Dataset.import_from(str(root / place), form):
            boxes = [each.points for each in item.annotations if each.type == AnnotationType.bbox]
            yield item.id, [tuple(box) for box in boxes], None

    return read


READERS: dict[tuple[str, str], Callable[[Path], Iterator[Image]]] = {
    ("coco", "pycocotools"): coco_tool,
    ("coco", "torchvision"): torchvision_coco,
    ("voc", "torchvision"): torchvision_voc,
    ("coco", "supervision"): supervision("from_coco", "photos", "out/annotations.coco.json"),
    ("yolo", "supervision"): supervision("from_yolo", "out/images", "out/labels", "out/data.yaml"),
    ("voc", "supervision"): supervision("from_pascal_voc", "out/images", "out/annotations"),
    ("label-studio", "label_studio_sdk"): label_studio,
    ("hf", "datasets"): hugging_face,
    ("yolo", "ultralytics"): ultralytics,
    ("yolo", "datumaro"): datumaro("yolo", "out"),
    ("cvat", "datumaro"): datumaro("cvat", "cvat"),
}


def rows_of(root: Path) -> list[list[Any]]:
    """Read with every reader that this Python has: format, reader, written, read, on the object, of how many shown."""
    from importlib.util import find_spec

    written = [tuple(box) for *_, boxes in IMAGES for box in boxes]
    rows = []
    for (form, reader), read in READERS.items():
        if find_spec(reader) is None:
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            images = list(read(root))
        found = [box for _, boxes, _ in images for box in boxes]
        close = [
            box
            for box in written
            if any(max(abs(a - b) for a, b in zip(box, other, strict=True)) <= 0.5 for other in found)
        ]
        seen = [(box, pixels) for _, boxes, pixels in images for box in boxes if pixels is not None]
        right = sum(on_object(box, pixels) for box, pixels in seen)
        rows.append(
            [form, reader, len(written), len(close) if len(found) == len(written) else len(found), right, len(seen)]
        )
    return rows


def on_object(box: tuple[float, float, float, float], pixels: Any) -> bool:
    """Whether the box holds red pixels, and the others around it are not."""
    red = (pixels[..., 0].astype(int) - pixels[..., 1]) > 90
    x0, y0, x1, y1 = (round(value) for value in box)
    inside = red[y0:y1, x0:x1]
    return bool(inside.size and inside.mean() > 0.9 and inside.size < 1.1 * max(1, (x1 - x0) * (y1 - y0)))


def main() -> None:
    if sys.argv[1:2] == ["--read"]:
        json.dump(rows_of(Path(sys.argv[2])), sys.stdout)
        return
    print("| Folder | Format | Reader | Boxes written | Boxes read | On the object, where the reader shows pixels |")
    print("| :-- | :-- | :-- | --: | --: | --: |")
    for nested in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), nested)
            told = set()
            for python in dict.fromkeys([sys.executable, *sys.argv[1:]]):
                environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
                done = subprocess.run(
                    [python, __file__, "--read", folder],
                    env=environment | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                )
                for form, reader, written, read, right, seen in json.loads(done.stdout.splitlines()[-1]):
                    if (form, reader) in told:  # another Python has it too
                        continue
                    told.add((form, reader))
                    shown = f"{right} of {seen}" if seen else "-"
                    print(f"| {'nested' if nested else 'flat'} | {form} | {reader} | {written} | {read} | {shown} |")


if __name__ == "__main__":
    main()

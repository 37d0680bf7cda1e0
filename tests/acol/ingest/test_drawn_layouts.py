"""Folders put together at random: read as their maker meant them, or refused or told with the reason.

The suite draws a few; `ACOL_FUZZ=40 pytest tests/acol/ingest/test_drawn_layouts.py` draws 2,000.
"""

import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from acol.errors import Faults, InputError
from acol.ingest.annotations import AnnotationSource
from acol.ingest.folder import read_folder
from tests.fuzz.mutations import TIMES

DRAWS = 50 * max(1, TIMES)
CLASSES = [("cat", "dog"), ("passenger train", "bicycle"), ("test tube", "dev_board"), ("label_0", "label_1"),
           ("sea lion", "Owl"), ("valid ticket", "invalid"), ("été", "hiver"), ("1", "2")]  # fmt: skip
LONG = {"train": "training", "val": "validation", "test": "testing"}
SPELLINGS = [
    "{0}", "{0}_images", "images_{0}", "{2} Images", "seg_{0}", "{0}set", "{0}_data", "img_{0}2014", "{3}", "{1}",
    "{1}_set", "birds_{0}", "{0}A", "{2}Set", "flowers-{1}", "{0}-01", "raw {1} data", "{0}images", "JPEG_{0}",
]  # fmt: skip
GIVEN = [(), (), ("train", "test"), ("train", "val"), ("train", "val", "test")]
BOX = (1.0, 2.0, 6.0, 7.0)


@dataclass
class Photo:
    """What the maker knows of an image; `split` is None where it is to be drawn, `label` where it has no class."""

    path: str
    label: str | None
    split: str | None
    boxes: bool = False
    masked: bool = False
    size: tuple[int, int] = (8, 8)  # as annotated
    mask: tuple[int, int] = (8, 8)  # the mask's
    said: str | None = None  # the split that the annotations give
    named: str | None = None  # the class that they give


@dataclass
class Made:
    """A folder: the settings to read it by, its images, what must be refused and what must be told (patterns)."""

    root: Path
    rng: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    photos: list[Photo] = field(default_factory=list)
    given: tuple[str, ...] = ()
    refused: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def any(self) -> Photo:
        return self.rng.choice([photo for photo in self.photos if photo.label])

    def image(self, path: str, pixels: np.ndarray | None = None) -> None:
        file = self.root / self.options.get("images", ".") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.frombuffer(self.rng.randbytes(192), np.uint8).reshape(8, 8, 3)
        Image.fromarray(pixels).save(file)

    def text(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def layout(root: Path, rng: random.Random) -> Made:
    """Choose classes, splits and who gives them, and write the images."""
    made = Made(root, rng)
    kinds, names = rng.choice(CLASSES), rng.choice(GIVEN)
    form = rng.choice([None, "csv", "voc", "yolo", "coco"])
    by_folder = form is None or rng.random() < 0.5
    listed = bool(names) and form == "csv" and rng.random() < 0.5
    made.given = names
    if rng.random() < 0.5:
        made.options["images"] = rng.choice(["images", "photos", "download/v1"])
    if not by_folder:
        made.options["label_from"] = "annotation"
    if names and "test" not in names:
        made.options["test_from"] = rng.choice(["val", "train"])
    spelling = rng.choice(SPELLINGS)
    for split in names or (None,):
        folder = "" if listed or split is None else spelling.format(split, LONG[split], split.title(), split.upper())
        for number, kind in [(number, kind) for number in range(rng.randint(6, 8)) for kind in kinds]:
            parts = [folder, kind if by_folder else rng.choice(["", "a", "b/c"])]
            path = "/".join([*filter(None, parts), f"{split or 'x'}{kinds.index(kind)}{number:02d}.png"])
            made.photos.append(Photo(path, kind, split, form is not None, said=split if listed else None, named=kind))
    for photo in made.photos:
        made.image(photo.path)
    if form:
        where = {"csv": "ann/boxes.csv", "coco": "ann/boxes.json"}.get(form, "ann")
        made.options["annotations"] = AnnotationSource(form, where)
    if rng.random() < 0.3:
        made.options["masks"] = "masks"
        for photo in made.photos:
            photo.masked = rng.random() < 0.7
    return made


# --- What may go wrong or lie beside: each changes the folder and says what must be refused or told ---


def spare_files(made: Made) -> None:
    made.text(f"{made.options.get('images', '.')}/README.md", "text")
    made.text(f"{made.options.get('images', '.')}/.hidden.png", "")
    made.told.append(r"README\.md")


def spare_folder(made: Made) -> None:
    if by_annotation(made) or not folders_of(made):
        return
    made.image("extra/0.png")
    made.told.append(r"extra/.* 1 image")


def class_twin(made: Made) -> None:
    if by_annotation(made):
        return
    photo = made.any()
    other = str(photo.label).upper() if str(photo.label).upper() != photo.label else f"_{photo.label}"
    made.photos.append(replace(photo, path=photo.path.replace(f"{photo.label}/", f"{other}/").replace(".png", "t.png"),
                               boxes=False, masked=False, said=photo.said))  # fmt: skip
    made.image(made.photos[-1].path)
    made.refused.append("one name in two spellings")


def class_twin_in_annotations(made: Made) -> None:
    photo = made.any()
    source = made.options.get("annotations")
    if by_annotation(made) and photo.label != str(photo.label).upper() and source.format != "yolo":
        photo.named = str(photo.label).upper()
        made.told.append("one class in two spellings")


def without_split(made: Made) -> None:
    if not made.given:
        return
    if made.photos[0].said:
        for photo in made.rng.sample(made.photos, 2):
            photo.said = None
    elif by_annotation(made):
        made.photos.append(Photo("alone.png", made.photos[0].label, None, True, named=made.photos[0].label))
        made.image("alone.png")
    else:
        return
    made.refused.append("in no split")


def other_split(made: Made) -> None:
    photo = made.any()
    source = made.options.get("annotations")
    if made.given and not photo.said and source is not None and source.format == "csv":
        photo.said = made.rng.choice([name for name in made.given if name != photo.split])
        made.refused.append("correct one of the two")


def same_image_twice(made: Made) -> None:
    one, other = made.rng.sample(made.photos, 2)
    pixels = np.asarray(Image.open(made.root / made.options.get("images", ".") / one.path))
    made.image(other.path, pixels)
    if one.label != other.label or (made.given and one.split != other.split):
        made.refused.append("the same image")


def same_name_twice(made: Made) -> None:
    photos = [photo for photo in made.photos if "/" in photo.path]
    source = made.options.get("annotations")
    if not photos or source is None or source.format != "voc":
        return
    photo = made.rng.choice(photos)
    path = photo.path.replace(Path(photo.path).name, f"again/{Path(photo.path).name}")
    if by_annotation(made):
        made.image(path)
        made.refused.append("both match|may be|each image its own name")
        made.photos.append(replace(photo, path=path))


def two_folders_of_one_split(made: Made) -> None:
    if not by_annotation(made) and "train" in folders_of(made) and made.photos[0].path.count("/") > 1:
        folder, label = folders_of(made)["train"], str(made.photos[0].label)
        other = "training images" if folder != "training images" else "trainset"
        made.image(f"{other}/{label}/0.png")
        made.refused.append("both are train")


def flat_splits(made: Made) -> None:
    """Take the class folders away, where nothing else tells classes."""
    if by_annotation(made) or not folders_of(made) or made.refused:
        return
    base = made.root / made.options.get("images", ".")
    for photo in [photo for photo in made.photos if photo.label]:
        split, _, name = photo.path.split("/")
        (base / photo.path).rename(base / split / f"{name}")
        photo.path = f"{split}/{name}"
    for folder in folders_of(made).values():
        for empty in (base / folder).iterdir():
            if empty.is_dir():
                empty.rmdir()
    made.refused.append("the name of a split or of a part of a data set|test_from")


def missing_image(made: Made) -> None:
    if made.options.get("annotations"):
        made.photos.append(replace(made.photos[0], path="gone/nowhere99.png", label=None, masked=False))
        made.told.append("nowhere99")


def wrong_size(made: Made) -> None:
    source = made.options.get("annotations")
    photo = made.any()
    if source is not None and source.format in ("voc", "coco") and photo.boxes:
        photo.size = (9, 8)
        made.refused.append("9 x 8")


def other_class(made: Made) -> None:
    """Let a list give an image another class than its folder does."""
    photo = made.any()
    if not by_annotation(made) and made.options.get("annotations"):
        photo.named = next(other.label for other in made.photos if other.label != photo.label)
        photo.boxes = False  # no object of the class
        made.told.append("objects of other classes only")


def without_annotation(made: Made) -> None:
    if by_annotation(made):
        path = f"{made.photos[0].path.rpartition('/')[0]}/lonely.png".lstrip("/")
        made.image(path)
        made.told.append(r"lonely\.png.*left out")


def classes_without_effect(made: Made) -> None:
    if by_annotation(made):
        made.options["classes"] = [str(made.photos[0].label)]
        made.told.append(r"data\.classes.*without effect")


def mask_of_nothing(made: Made) -> None:
    if "masks" in made.options:
        made.text("masks/none99.png", "")
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(made.root / "masks/none99.png")
        made.told.append("none99|without an image|no image")


def image_outside(made: Made) -> None:
    if not by_annotation(made):
        made.image("stray99.png")
        made.refused.append(r"stray99\.png: an image outside")


def one_folder_of_a_split(made: Made) -> None:
    if by_annotation(made) and not made.given and not made.refused:
        base = made.root / made.options.get("images", ".")
        for photo in [photo for photo in made.photos if photo.label][::2]:
            old, photo.path = photo.path, f"train_set/{photo.path}"
            (base / photo.path).parent.mkdir(parents=True, exist_ok=True)
            (base / old).rename(base / photo.path)
        made.told.append("train_set/.*the name of a split")


def mask_of_another_size(made: Made) -> None:
    masked = [photo for photo in made.photos if photo.masked]
    if masked:
        made.rng.choice(masked).mask = (9, 9)
        made.refused.append("9 x 9")


def contradicting_rows(made: Made) -> None:
    source, photo = made.options.get("annotations"), made.any()
    if source is not None and source.format == "csv" and by_annotation(made):
        made.photos.append(replace(photo, named="another", label=None, masked=False))
        made.told.append("objects of several classes")
    elif photo.said:
        made.photos.append(replace(photo, said=next(name for name in made.given if name != photo.said), label=None))
        made.photos[-1].masked = False
        made.refused.append(f"{Path(photo.path).stem}.*(split|{photo.said})")


PARTS = [
    image_outside, one_folder_of_a_split, mask_of_another_size, contradicting_rows,
    spare_files, spare_folder, class_twin, class_twin_in_annotations, without_split, other_split, same_image_twice,
    same_name_twice, two_folders_of_one_split, flat_splits, missing_image, wrong_size, without_annotation,
    classes_without_effect, mask_of_nothing, other_class,
]  # fmt: skip


def by_annotation(made: Made) -> bool:
    """Whether annotations give the classes."""
    return made.options.get("label_from") == "annotation"


def folders_of(made: Made) -> dict[str, str]:
    """The folder of each split, if folders give the splits."""
    photos = [photo for photo in made.photos if photo.label and photo.split and not photo.said]
    return {str(photo.split): photo.path.split("/")[0] for photo in photos if "/" in photo.path}


# --- The annotations, written at the end ---


def write_annotations(made: Made) -> None:
    source = made.options.get("annotations")
    for photo in made.photos:
        if photo.masked:
            mask = np.zeros(photo.mask, np.uint8)
            mask[2:6, 1:6] = 255
            file = made.root / "masks" / photo.path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(file)
    if "masks" in made.options:
        (made.root / "masks").mkdir(exist_ok=True)
    if source is not None:
        globals()[f"as_{source.format}"](made)


def as_csv(made: Made) -> None:
    split = any(photo.said for photo in made.photos)
    rows = ["path,class,x0,y0,x1,y1" + ",split" * split]
    rows += [",".join([p.path, str(p.named), *map(str, BOX)]) + f",{p.said or ''}" * split for p in made.photos]
    made.text("ann/boxes.csv", "\n".join(rows))


def as_voc(made: Made) -> None:
    for photo in made.photos:
        corners = "<xmin>2</xmin><ymin>3</ymin><xmax>6</xmax><ymax>7</ymax>"
        width, height = photo.size
        made.text(
            f"ann/{Path(photo.path).stem}.xml",
            f"<annotation><filename>x.png</filename><size><width>{width}</width><height>{height}</height></size>"
            f"<object><name>{photo.named}</name><bndbox>{corners}</bndbox></object></annotation>",
        )


def as_yolo(made: Made) -> None:
    names = sorted({str(photo.label) for photo in made.photos if photo.label})
    made.text("ann/data.yaml", json.dumps({"names": names}))
    for photo in made.photos:
        line = f"{names.index(str(photo.named))} {3.5 / 8} {4.5 / 8} {5 / 8} {5 / 8}\n"
        made.text(f"ann/{photo.path.removesuffix('.png')}.txt", line)


def as_coco(made: Made) -> None:
    names = sorted({str(photo.named) for photo in made.photos})
    content = {
        "images": [
            {"id": n, "file_name": p.path, "width": p.size[0], "height": p.size[1]} for n, p in enumerate(made.photos)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": names.index(str(p.named)), "bbox": [1, 2, 5, 5]}
            for n, p in enumerate(made.photos)
        ],
    }
    made.text("ann/boxes.json", json.dumps(content))


# --- What the maker meant ---


def differences(made: Made, found: Any) -> list[str]:
    """Compare a manifest with what the maker knows."""
    images = {image.path: image for image in found.images}
    base = made.options.get("images", "")
    meant = {f"{base}/{p.path}".lstrip("/"): p for p in made.photos if p.label}
    said = [f"{path}: only in one" for path in images.keys() ^ meant.keys()]
    moved = {"val": "test"} if made.options.get("test_from") == "val" else {}
    given = {moved.get(split, split) for split in made.given}
    counts: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for path in images.keys() & meant.keys():
        image, photo = images[path], meant[path]
        split = moved.get(str(photo.split), photo.split)
        if image.label.casefold() != str(photo.label).casefold():
            said.append(f"{path}: class {image.label}")
        if split in (None, "train"):
            drawn = image.split not in given or image.split == "train"
            totals[str(photo.label)] += 1
            counts[str(photo.label), image.split] += 1
            said += [] if drawn else [f"{path}: drawn as {image.split}"]
        elif image.split != split:
            said.append(f"{path}: {image.split}, not {split}")
        if (image.boxes is not None) != photo.boxes or (image.boxes and not np.allclose(image.boxes, [BOX], atol=0.01)):
            said.append(f"{path}: boxes {image.boxes}")
        if (image.mask is not None) != photo.masked:
            said.append(f"{path}: mask {image.mask}")
    for label, total in totals.items():
        for name, share in (("val", 0.15), ("test", 0.25)):
            wanted = 0 if name in given else max(1, round(share * total))
            said += [] if counts[label, name] == wanted else [f"{label}: {counts[label, name]} {name}, not {wanted}"]
    return said


def verdict(made: Made) -> tuple[str, list[str]]:
    """Read the folder; return "read" or "refused", and what was silently other than meant."""
    try:
        reading = read_folder(made.root, **made.options)
    except InputError as error:
        lines = error.faults if isinstance(error, Faults) else (str(error),)
        reasons = [*made.refused, *made.told]
        known = [line for line in lines if any(re.search(reason, line) for reason in reasons)]
        return "refused", [] if known else [f"refused without a reason: {line}" for line in lines]
    missed = [f"not refused: {reason}" for reason in made.refused]
    missed += [
        f"not told: {r}: {reading.remarks}" for r in made.told if not any(re.search(r, x) for x in reading.remarks)
    ]
    return "read", missed + differences(made, reading.manifest)


def test_what_is_read_is_what_was_meant(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    wrong = []
    for seed in range(DRAWS):
        rng = random.Random(seed)
        made = layout(tmp_path / str(seed), rng)
        parts = rng.sample(PARTS, rng.choice([0, 1, 1, 2, 3]))
        for part in parts:
            part(made)
        write_annotations(made)
        outcome, silent = verdict(made)
        outcomes[outcome] += 1
        if silent:
            names = [part.__name__ for part in parts]
            wrong.append(f"{seed} {names} {made.options} {made.photos[0].path}: {silent[:3]}")
    print(dict(outcomes))
    assert not wrong, f"{len(wrong)} of {DRAWS}:\n" + "\n".join(wrong[:20])
    assert min(outcomes["read"], outcomes["refused"]) > DRAWS / 10

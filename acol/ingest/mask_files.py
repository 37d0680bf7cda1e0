"""The masks of images: which image each belongs to, whether it fits, and whether its values mean what is taken."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from acol.data.images import EXTENSIONS, as_line, stem_of
from acol.data.mask_values import BINARY, OBJECT, MaskValues, usual_values
from acol.errors import InputError
from acol.ingest.annotations import Annotation
from acol.ingest.decoding import NEAR, FileFacts, Frame, decode_all, decode_mask
from acol.ingest.findings import Findings
from acol.ingest.folder_settings import MaskSource
from acol.ingest.formats.text_files import read_rows
from acol.ingest.layout import Layout, Photo, files_below
from acol.ingest.matching import Annotations, pair_with_images, rekey_by_image, report_unmatched

FULL = 0.9  # of a mask's edge: more can hardly be the object
NEARLY = 0.9  # of all pixels: grey levels near 0 and 255 of masks that were smoothed
_WORD = "(?:masks?|seg|segmentations?|trimaps?|gt|ground[ _-]?truth|labels?|annotations?)"
_NUMBERED = re.compile(f"(.+)[ ._-]{_WORD}[ ._-]?[0-9]+", re.IGNORECASE)
_WITH_WORD = re.compile(f"(.+)[ ._-]{_WORD}|{_WORD}[ ._-](.+)", re.IGNORECASE)


class _Mask(NamedTuple):
    """The mask of an image, its file and its facts; what share of its edge the object has, None without an object."""

    photo: Photo
    file: Path
    facts: FileFacts
    edge: float | None


def refuse_masks_among_images(layout: Layout, classes: Sequence[str]) -> None:
    """Note each folder in which images are masks of others, by their name or pixels; these are taken out.

    Without a list of the `classes`, folders of masks alone are noted too.

    Pixels say so where an image has as few colours as a mask, and another one of its size, with more, has a part of
    its name or its numbers: a.png beside a.jpg, m_12.png beside photo12.jpg.
    """
    folders: dict[PurePosixPath, list[Photo]] = defaultdict(list)
    for path, photo in layout.photos.items():
        folders[PurePosixPath(path).parent].append(photo)
    for folder, photos in folders.items():
        masks = [*_masks_of_others(photos)]
        for mask, image in masks[:1]:
            what = f"{len(masks)} image{'s are masks' if masks[1:] else ' is the mask'} of others, such as"
            way = "move masks into a folder of their own (data.masks), or rename what is none"
            layout.findings.fault(layout.base / folder, f"{what} {as_line(mask.name)} of {as_line(image.name)}; {way}")
        for mask, _ in masks:
            del layout.photos[str(mask)]  # what else is wrong with it does not count
    drawn = (
        [] if classes else [place for place, group in folders.items() if all(one.facts.few_colours for one in group)]
    )
    others = [folder for folder in folders if folder not in drawn]
    for folder in drawn:
        paths = {PurePosixPath(photo.path) for photo in folders[folder]}
        pairs = ((other, _masks_of_others([*folders[folder], *folders[other]])) for other in others)
        if images := next((other for other, masks_of in pairs if paths <= {mask for mask, _ in masks_of}), None):
            what = f"by names, sizes and colours its images are masks of those in {as_line(layout.base / images)}"
            way = "move them out of the class folders (data.masks), or list the classes under data.classes"
            layout.findings.fault(layout.base / folder, f"{what}; {way}")


def _masks_of_others(photos: Sequence[Photo]) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Yield the path of each image that is the mask of another one, with that one's path."""
    paths = {PurePosixPath(photo.path): photo.facts for photo in photos}
    stems = {path.stem: path for path in paths}
    photographs = {
        (part, image.size): path
        for path, image in paths.items()
        if not image.fault and not image.may_be_mask
        for part in (_numbers(path.stem), path.stem.casefold())
    }
    for path, image in paths.items():
        match = _WITH_WORD.fullmatch(path.stem)
        photograph = stems.get(match[1] or match[2]) if match else None
        if not photograph and image.may_be_mask:
            parts = [_numbers(path.stem), *_parts(path.stem.casefold())]
            if re.fullmatch(_WORD, path.stem, re.IGNORECASE):  # label.png of img.png
                parts += [part for part, _ in photographs]
            fitting = (photographs[part, image.size] for part in parts if (part, image.size) in photographs)
            photograph = next(fitting, None)
        if photograph:
            yield path, photograph


def _numbers(stem: str) -> str:
    return " ".join(str(int(number)) for number in re.findall("[0-9]+", stem)) or stem.casefold()


def _parts(name: str) -> Iterator[str]:
    """Yield all runs of a name's words and numbers, with what is between them."""
    spans = [match.span() for match in re.finditer(r"[^\W\d_]+|\d+", name)]
    for first, (start, _) in enumerate(spans):
        for _, end in spans[first:]:
            yield name[start:end]


def read_listed_masks(root: Path, folders: Sequence[Path], source: MaskSource, layout: Layout) -> MaskValues:
    """Read the masks that a file lists in lines "image,mask,ignored regions", as wsolevaluation does for OpenImages.

    An image may have several lines; the third part may be empty. Masks are relative to the one folder, may have another
    size than their image, and 0 is background, all else object. The lists of val and test may lie in folders of a
    folder, as localization.txt. Source: Choe et al. 2020, metadata of OpenImages30k.
    """
    findings, lines, folder = layout.findings, root / str(source.list), folders[0]
    files = sorted(lines.glob("*/localization.txt")) if lines.is_dir() else [lines]
    entries_of = {
        path: entries
        for file in files
        for path, entries in read_rows(file, "IMAGE,MASK,IGNORED REGIONS", tuple, findings).items()
    }
    listed: list[tuple[Photo, list[Path], list[Path]]] = []  # the masks of each image, and its mask of ignored regions
    for path, entries in entries_of.items():
        photo = layout.photos.get(path)
        if photo is None and not (layout.base / path).is_file():
            findings.fault(lines, f"no image {as_line(path)} in {as_line(layout.base)}; add it or remove its lines")
        elif photo is None or photo.left_out:
            findings.remark(path, "left out, and so are the masks")
        else:
            ignored = [folder / region for _, region in entries if region][:1]
            listed.append((photo, [folder / mask for mask, _ in entries], ignored))
    every = [file for _, masks, ignored in listed for file in (*masks, *ignored)]
    decoded = iter(decode_all(every, decode_mask, "check masks"))
    for photo, masks, ignored in listed:
        facts = [next(decoded) for _ in (*masks, *ignored)]
        if faults := [mask.fault for mask in facts if mask.fault]:
            findings.faults += faults
            continue
        if not any(value for mask in facts[: len(masks)] for value in mask.values):
            findings.fault(masks[0], "no pixel is of the object; mark it, or remove the line")
        joint = hashlib.sha256("".join(mask.sha256 for mask in facts).encode()).hexdigest()
        photo.masks = _fields(root, masks, ignored, joint, photo.facts, source.frame or "upright")
    return BINARY


def _fields(
    root: Path, masks: Sequence[Path], ignored: Sequence[Path], sha256: str, image: FileFacts, frame: Frame
) -> dict[str, Any]:
    """Return the fields of an `Image` of the manifest for its masks, which were drawn on the pixels of `frame`."""
    first, *more = (file.relative_to(root).as_posix() for file in masks)
    ignore_mask = next((file.relative_to(root).as_posix() for file in ignored), None)
    turn = image.orientation if frame == "stored" and image.orientation != 1 else None
    facts = {"mask": first, "more_masks": tuple(more), "ignore_mask": ignore_mask}
    return facts | {"mask_sha256": sha256, "mask_turn": turn}


def read_masks(root: Path, folders: Sequence[Path], source: MaskSource, layout: Layout) -> MaskValues:
    """Read the masks in some folders, of images whose mask has an object; what their values mean is given, or usual."""
    # Every mask is decoded, since the values of all decide what is object.
    findings, given = layout.findings, source.meaning
    files = _mask_of_each_image(root / source.path, folders, layout)
    all_facts = decode_all([file for _, file in files], decode_mask, "check masks")
    findings.faults += [facts.fault for facts in all_facts if facts.fault]
    values = given or usual_values([value for facts in all_facts for value in facts.values])

    # Faults of single masks. That all mean something else may explain these faults, and so it comes after them.
    masks: list[_Mask] = []
    for (photo, file), facts in zip(files, all_facts, strict=True):
        if facts.fault:
            continue
        edge = _object_edge(file, facts, values, photo.label, findings)
        masks.append(_Mask(photo, file, facts, edge))
        image = facts if photo.facts.fault else photo.facts
        frame, doubtful = image.frame(facts.size, source.frame)
        what = "an EXIF orientation, and nothing says if their masks were drawn on the upright or the stored pixels"
        findings.remark([photo.path] * doubtful, f"{what}; taken as upright; data.masks.frame decides", "photograph")
        if facts.size != image.size_of(frame):
            sizes = [f"{width} x {height}" for width, height in (facts.size, image.size_of(frame))]
            findings.fault(file, f"{sizes[0]} pixels, but its image is {sizes[1]}; draw it again")
        elif frame == "upright" and _is_outside_boxes(facts, values, photo):
            what = f"the object in the mask of {as_line(photo.path)} is outside of all boxes; correct one of the two"
            findings.fault((file, photo.annotation.source), what)
        if edge is not None:
            photo.masks = _fields(root, [file], [], facts.sha256, image, frame)

    # Faults and doubts of all masks together.
    empty = [mask for mask in masks if mask.edge is None]
    if len(empty) < len(masks):
        paths = [mask.photo.path for mask in empty]
        findings.remark(paths, "no pixel of the mask is of the object; taken as without a mask")
    else:
        for mask in empty:
            first, *more = mask.facts.values
            what = "no pixel is of the object" if more else f"every pixel is {first}"
            what = f"{what}; mark the object, remove the mask, or say under data.masks what is object"
            findings.fault(mask.file, what)
    if misfit := None if given else _misfit(root / source.path, values, masks):
        findings.faults.append(misfit)
    else:
        _report_doubts(given, values, masks, findings)
    return values


def _mask_of_each_image(folder: Path, folders: Sequence[Path], layout: Layout) -> list[tuple[Photo, Path]]:
    """Return the images that are not left out and have a mask, with it, and report the other masks in `folders`."""
    findings, twice = layout.findings, "masks of one image; join or list them (data.masks.list)"
    masks: Annotations = {}  # by their paths in the folder, without suffix
    for file in (file for place in folders for file in files_below(place, EXTENSIONS, findings=findings)):
        key = file.relative_to(folder).with_suffix("").as_posix()
        if (other := masks.setdefault(key, Annotation(str(file)))).source != str(file):
            findings.fault((other.source, file), twice)
    if not masks:
        findings.fault(folder, f"no masks ({', '.join(EXTENSIONS)}) in it; correct data.masks")
    masks = rekey_by_image(masks, layout, _names_of_image, twice)
    pairs = pair_with_images(layout, masks)

    # A mask without an image here may be of one that is left out: of no class, of one not chosen, or unreadable.
    every = dict(pairs)
    if lost := {key: mask for key, mask in masks.items() if key not in pairs.values()}:
        there = (file.relative_to(layout.base).as_posix() for file in files_below(layout.base, EXTENSIONS, folders))
        whole = replace(layout, photos={path: Photo(path) for path in there}, findings=Findings())
        lost = rekey_by_image(lost, whole, _names_of_image)
        every |= pair_with_images(whole, lost)
        masks = {key: masks[key] for key in pairs.values()} | lost
    kept, files = {photo.path: photo for photo in layout.kept}, {key: Path(mask.source) for key, mask in masks.items()}
    names = [files[key].relative_to(folder).as_posix() for path, key in every.items() if path not in kept]
    findings.remark(names, "of images that are left out", "mask")
    report_unmatched(masks, every, layout, "mask")
    return [(kept[path], files[key]) for path, key in pairs.items() if path in kept]


def _names_of_image(name: str) -> list[str]:
    """Return what an image's name may be of its mask's: the same, without a word for masks, or without a suffix."""
    matches = [match for pattern in (_WITH_WORD, _NUMBERED) if (match := pattern.fullmatch(name))]
    names = [name, *(next(filter(None, match.groups())) for match in matches)]
    return [new for each in names for new in (each, stem_of(PurePosixPath(each)))]


def _is_outside_boxes(mask: FileFacts, values: MaskValues, photo: Photo) -> bool:
    """Whether the object in a mask is outside of all boxes of the image, and there are some."""
    pairs = [(mask.bounds[value], box) for value in values.among_objects(mask.bounds) for box in photo.boxes or ()]
    return bool(pairs) and not any(
        max(a, c) < min(b, d) and max(e, g) < min(f, h) for (a, e, b, f), (c, g, d, h) in pairs
    )


def _object_edge(file: Path, mask: FileFacts, values: MaskValues, label: str, findings: Findings) -> float | None:
    """The object's share of a mask's edge; None if it has no object. A value without a meaning here is a fault."""
    try:
        raw = values.pixels(np.array([*mask.values]), label)
        edge = values.pixels(np.array([*mask.edge]), label) == OBJECT
    except InputError as error:
        findings.fault(file, str(error))
        return 0.0
    if (raw == OBJECT).any():
        return float(np.average(edge, weights=[*mask.edge.values()]))
    if others := values.among_objects(mask.values):
        findings.fault(file, f"holds {min(others)} of another class, and not {label}; correct one of the two")
        return 0.0
    return None


def _misfit(folder: Path, values: MaskValues, masks: Sequence[_Mask]) -> str | None:
    """Return why the meaning that values usually have cannot be right for all masks together, and the way out."""
    total = sum((Counter(mask.facts.values) for mask in masks), Counter[int]())
    ends = sum(count for value, count in total.items() if value <= NEAR or 255 - NEAR <= value <= 255)
    if sum(128 <= value < 255 for value in total) > 2 and ends > NEARLY * total.total():
        most = max(masks, key=lambda mask: len(mask.facts.values))
        return (
            f"{as_line(most.file)}: {len(most.facts.values)} grey levels, most of them near 0 or 255, as JPEG and "
            "smoothing leave them; set data.masks.values: grey (128 and above is the object)"
        )
    if total and 0 not in total:
        return (
            f"{as_line(folder)}: no mask has a pixel of 0, the background; say under data.masks.values what they mean: "
            "trimap (1 object, 2 background, 3 border), inverted, or {object: [...], background: [...]}"
        )
    if sum(total[value] for value in values.ignored) > sum(total[value] for value in values.among_objects(total)):
        return (
            f"{as_line(folder)}: most marked pixels are 255, which means ignored beside other values; if it is the "
            "object, set data.masks.values: binary; if not, voc"
        )
    return None


def _report_doubts(given: MaskValues | None, values: MaskValues, masks: Sequence[_Mask], findings: Findings) -> None:
    """Report masks whose meaning is likely but not sure, with the setting that decides it."""
    objects = [values.among_objects(mask.facts.values) for mask in masks]
    every = ", ".join(map(str, sorted(set().union(*objects))[:5]))
    several = (
        f"several values of {every} count together as the object; if each is a class, set data.masks.classes: "
        f"{{cat: 1, dog: 2}}; if not, data.masks.values: {{object: [{every}]}}"
    )
    border = (
        "255 is taken as ignored beside other values, as in Pascal VOC; if so, set data.masks.values: voc; if it is "
        "the object, binary"
    )
    light = (
        "0 has a light colour and is taken as the background; if so, set data.masks.values: "
        f"{{object: [{every}]}}; if it is the object, inverted"
    )
    for mask, marked in () if given else zip(masks, objects, strict=True):
        path, facts = mask.photo.path, mask.facts
        if len(marked) > 1:
            findings.remark(path, several, "mask")
        if facts.first_colour is None and 255 in {*values.ignored} & {*facts.values}:
            findings.remark(path, border, "mask")
        if (facts.first_colour or 0) >= 128 and 0 in facts.values:
            findings.remark(path, light, "mask")
    exchanged = [mask.photo.path for mask in masks if mask.edge is not None and mask.edge > FULL]
    if given is None or 2 * len(exchanged) > len(masks):
        what = "the object is along nearly the whole edge of the mask; if object and background are exchanged, set"
        findings.remark(exchanged, f"{what} data.masks.values: inverted", "mask")

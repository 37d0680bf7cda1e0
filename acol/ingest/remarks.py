"""What is told about a folder that was read without a fault, and may still be other than meant."""

from collections import Counter
from collections.abc import Mapping, Sequence

from acol.data.images import shown
from acol.data.manifest import Box
from acol.ingest.annotations import Annotation, AnnotationSource
from acol.ingest.decoding import Decoded
from acol.ingest.formats.lines import grouped
from acol.ingest.labels import told
from acol.ingest.layout import Layout
from acol.ingest.names import plain, split_of
from acol.ingest.twins import apart, straddling


def on_annotations(
    annotated: Mapping[str, Annotation],
    boxes: Mapping[str, Sequence[Box]],
    splits: Mapping[str, str],
    ignored: Sequence[str],
) -> list[str]:
    """Tell what was left aside: files that are no images, test images without a box, and other classes in images."""
    found = [told(ignored, "no image, and so ignored", "file")] if ignored else []
    scored = [path for path, split in splits.items() if split == "test" and path not in boxes]
    if scored and boxes:
        found.append(told(scored, "no annotated object of the class; these test images have no part in box scores"))
    other = [
        path for path, annotation in annotated.items() if annotation.names and path in splits and path not in boxes
    ]
    if other:
        found.append(told(other, "objects of other classes only, and so no box of the image's own class"))
    several = [path for path, annotation in annotated.items() if len(set(map(plain, annotation.names))) > 1]
    if several:
        found.append(told(several, "objects of several classes; an image counts for one class only"))
    return found


def on_objects(aside: Mapping[str, Annotation], unknown: Sequence[str]) -> list[str]:
    """Tell which objects do not count, and which boxes may be turned."""
    counts = Counter(mark for annotation in aside.values() for marks in annotation.marks for mark in marks)
    found = [f"objects marked as {mark} do not count: {count}" for mark, count in sorted(counts.items())]
    if unknown:
        what = "an EXIF orientation, and nothing says if their boxes were drawn on the upright or the stored pixels"
        found.append(told(unknown, f"{what}; taken as upright; data.annotations.frame decides", "photograph"))
    return found


def on_outlines(annotated: Mapping[str, Annotation]) -> list[str]:
    """Tell which images have outlines in their annotations that do not count, since files of masks do."""
    both = [path for path, annotation in annotated.items() if any(annotation.outlines)]
    return [told(both, "outlines in the annotations without effect: the files in data.masks count")] if both else []


def on_layout(layout: Layout) -> list[str]:
    """Tell of folders that were left aside, and of those whose names may have meant a split."""
    found = [f"{shown(path)}/: read as {split}, which its name says" for path, split in layout.named.items()]
    flat = [path for path, count in layout.aside.items() if count and split_of(path)[0] and not split_of(path)[1]]
    kinds = (
        (flat, "a split without class folders, so its images have no labels, and it is left aside with {}"),
        (
            [path for path in layout.aside if path not in flat],
            "beside the folders that are read, and so left aside with {}",
        ),
    )
    for paths, what in kinds:
        if paths:
            count = sum(layout.aside[path] for path in paths)
            its = f"{count} image{'s' if count != 1 else ''}"
            found.append(told([f"{path}/" for path in paths], what.format(its), "folder"))
    if layout.alone and not layout.splits:
        what = "the name of a split, but no folder beside has another one's: all splits are drawn anew"
        found.append(told([f"{path}/" for path in layout.alone], what, "folder"))
    return found


def on_settings(source: AnnotationSource, found: Mapping[str, Annotation], turned: bool) -> list[str]:
    """Tell which settings of annotations have no effect on those that were `found`; `turned`: some image has a turn."""
    names = {plain(name) for annotation in found.values() for name in annotation.names}
    marks = {mark for annotation in found.values() for its in annotation.marks for mark in its}
    without: list[tuple[str, Sequence[str], str]] = [
        ("names", [name for name in source.renames if plain(name) not in names], "no object has this name"),
        ("leave_out", [mark for mark in source.leave_out or () if mark not in marks], "no object is marked so"),
        ("frame", [source.frame] if source.frame and not turned else [], "no annotated image has an EXIF orientation"),
    ]
    return [
        f"data.annotations.{key}: {', '.join(map(repr, those))} without effect: {why}"
        for key, those, why in without
        if those
    ]


def on_twins(decoded: Mapping[str, Decoded], splits: Mapping[str, str], groups: Mapping[str, str]) -> list[str]:
    """Tell of near duplicates in two splits, and of groups that given splits have taken apart."""
    near = straddling({path: decoded[path].look for path in splits if path in decoded}, splits)
    return [
        *_in_two(apart(groups, splits), "variant", "data.group_by does not change given splits; remove {}"),
        *_in_two(near, "near duplicate", "remove {}, or keep variants together by data.group_by"),
    ]


def _in_two(pairs: Sequence[tuple[str, str]], kind: str, remedy: str) -> list[str]:
    several = len(pairs) > 1
    return [
        f"{len(pairs)} {kind}{'s are' if several else ' is'} in two splits, such as {shown(one)} and {shown(other)}: "
        + remedy.format("them" if several else "it")
        for one, other in pairs[:1]
    ]


def on_colours(decoded: Mapping[str, Decoded]) -> list[str]:
    """Tell of images that decoding left dark, flat or clipped."""
    doubts = grouped([(image.doubt, path) for path, image in decoded.items() if image.doubt])
    return [told(paths, doubt) for doubt, paths in doubts.items()]

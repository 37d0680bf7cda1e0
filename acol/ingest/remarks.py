"""What is told about a folder that was read without a fault, and may still be other than meant."""

from collections import Counter
from collections.abc import Mapping, Sequence

from acol.data.manifest import Box
from acol.ingest.annotations import Annotation
from acol.ingest.formats.text import grouped
from acol.ingest.labels import told
from acol.ingest.names import plain
from acol.ingest.pixels import Decoded
from acol.ingest.twins import straddling


def on_annotations(
    annotated: Mapping[str, Annotation],
    boxes: Mapping[str, Sequence[Box]],
    splits: Mapping[str, str],
    ignored: Sequence[str],
) -> list[str]:
    """Tell what was left aside: files that are no images, test images without a box, and further classes in images."""
    found = [told(ignored, "no image, and so ignored", "file")] if ignored else []
    scored = [path for path, split in splits.items() if split == "test" and path not in boxes]
    if scored and boxes:
        found.append(told(scored, "no annotated object of the class; these test images have no part in box scores"))
    several = [path for path, annotation in annotated.items() if len(set(map(plain, annotation.names))) > 1]
    if several:
        found.append(told(several, "objects of several classes; an image counts for one class only"))
    return found


def on_objects(aside: Mapping[str, Annotation], unknown: Sequence[str]) -> list[str]:
    """Tell which objects do not count, and which boxes may be turned."""
    counts = Counter(mark for annotation in aside.values() for marks in annotation.marks for mark in marks)
    found = [f"objects marked as {mark} do not count: {count}" for mark, count in sorted(counts.items())]
    if unknown:
        what = "an EXIF turn, and nothing says whether their boxes were drawn on the upright or the stored pixels"
        found.append(told(unknown, f"{what}; taken as upright; say it by data.annotations.frame", "photograph"))
    return found


def on_twins(decoded: Mapping[str, Decoded], splits: Mapping[str, str], groups: Mapping[str, str]) -> list[str]:
    """Tell of near duplicates in two splits."""
    pairs = straddling({path: decoded[path].look for path in splits if path in decoded}, splits, groups)
    if not pairs:
        return []
    (one, other), several = pairs[0], len(pairs) > 1
    what = f"{len(pairs)} near duplicate{'s are' if several else ' is'} in two splits, such as {one} and {other}"
    return [f"{what}: remove {'them' if several else 'it'}, or keep variants together by data.group_by"]


def on_colours(decoded: Mapping[str, Decoded]) -> list[str]:
    """Tell of images that decoding left dark, flat or clipped."""
    doubts = grouped([(image.doubt, path) for path, image in decoded.items() if image.doubt])
    return [told(paths, doubt) for doubt, paths in doubts.items()]

"""What the values of mask files mean: the object, the background, or pixels that no score counts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from acol.errors import InputError

BACKGROUND, OBJECT, IGNORED = 0, 1, 255  # the values of a mask with which maps are scored
MaskValue = Annotated[int, Ge(0), Le(65_535)]


@dataclass(frozen=True)
class MaskValues:
    """The values of mask files: grey levels, or indices of a palette.

    `object` are the values of the object; None: all that are neither background nor ignored. `classes` gives the value
    of each class in semantic masks; then the object is the class of the image. A value without a meaning is refused.

    Raises `InputError` for a value with two meanings.
    """

    object: Annotated[tuple[MaskValue, ...], MinLen(1)] | None = None
    background: tuple[MaskValue, ...] = (0,)
    ignored: tuple[MaskValue, ...] = (255,)
    classes: Mapping[str, MaskValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = {*(self.object or ())}
        both = sorted(chosen & {*self.background} | {*self.ignored} & {*chosen, *self.background})
        if both:
            raise InputError(f"the value {both[0]} has two meanings; name it once")

    def pixels(self, raw: NDArray[Any], label: str) -> NDArray[np.uint8]:
        """Return a file's values (H, W) as 0 (background), 1 (object) and 255 (ignored); `label` is the image's class.

        Raises `InputError` for a value without a meaning, and for a class without a value.
        """
        if self.classes and label not in self.classes:
            raise InputError(f"class {label} has no value; add it under data.masks.classes")
        chosen = (self.classes[label],) if self.classes else self.object
        others = [*self.background, *self.ignored, *self.classes.values()]
        known = set(others) | set(chosen or ())
        if chosen is not None and (unknown := sorted({*np.unique(raw).tolist()} - known)):
            raise InputError(f"holds the value {unknown[0]}, which no setting of data.masks explains; add it there")
        is_object = np.isin(raw, chosen) if chosen is not None else ~np.isin(raw, others)
        pixels = is_object.astype(np.uint8)
        pixels[np.isin(raw, self.ignored)] = IGNORED
        return pixels

    def among_objects(self, values: Iterable[int]) -> set[int]:
        """Return those of the values that are neither background nor ignored."""
        return {*values} - {*self.background, *self.ignored}

    def __str__(self) -> str:
        kinds = {"background": self.background, "ignored": self.ignored}
        if self.object is not None:
            kinds["object"] = self.object
        parts = [f"{_ranges(values)} {kind}" for kind, values in kinds.items() if values]
        parts += [f"{value} {name}" for name, value in self.classes.items()]
        return "; ".join(parts if self.object is not None or self.classes else [*parts, "all else object"])


BINARY = MaskValues(ignored=())  # 0 background, all else object
CONVENTIONS = {
    "voc": MaskValues(),  # Pascal VOC: 255 is the border of the objects
    "binary": BINARY,
    "trimap": MaskValues(object=(1,), background=(2,), ignored=(3,)),  # Oxford-IIIT Pet
    "inverted": MaskValues(object=(0,), background=tuple(range(1, 256)), ignored=()),
    # 0 and 255 with grey levels between them, which smoothing and JPEG cause.
    "grey": MaskValues(object=tuple(range(128, 256)), background=tuple(range(128)), ignored=()),
}


def _ranges(values: Iterable[int]) -> str:
    """Return whole numbers as text, in which runs of them are written as "1-255"."""
    runs = [[*run] for _, run in groupby(enumerate(sorted(values)), lambda pair: pair[1] - pair[0])]
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)


def usual_values(values: Sequence[int]) -> MaskValues:
    """Return what the values of masks usually mean: those of Pascal VOC, in which 255 is ignored.

    If the masks have no values but 0 and 255, then 255 is the object.
    """
    return BINARY if {*values} <= {0, 255} else CONVENTIONS["voc"]

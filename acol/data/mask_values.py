"""What the values of a mask file mean: the object, the background, and pixels that no score counts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from acol.errors import InputError

BACKGROUND, OBJECT, IGNORED = 0, 1, 255  # of a mask as it is scored
MaskValue = Annotated[int, Ge(0), Le(65_535)]


@dataclass(frozen=True)
class MaskValues:
    """The values of mask files: grey levels, or indices of a palette.

    `object` are those of the object; None: all that are neither background nor ignored. `classes`: the value of each
    class in semantic masks; then the object is the image's own class. A value of no kind is refused.

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

        Raises `InputError` for a value that has no meaning, and a class without one.
        """
        if self.classes and label not in self.classes:
            raise InputError(f"class {label} has no value; add it under data.masks.classes")
        chosen = (self.classes[label],) if self.classes else self.object
        others = [*self.background, *self.ignored, *self.classes.values()]
        known = set(others) | set(chosen or ())
        if chosen is not None and (strange := sorted({*np.unique(raw).tolist()} - known)):
            raise InputError(f"holds the value {strange[0]}, which no setting of data.masks explains; add it there")
        found = np.isin(raw, chosen) if chosen is not None else ~np.isin(raw, others)
        pixels = found.astype(np.uint8)
        pixels[np.isin(raw, self.ignored)] = IGNORED
        return pixels

    def among_objects(self, found: Iterable[int]) -> set[int]:
        """Return the values that are neither background nor ignored."""
        return {*found} - {*self.background, *self.ignored}

    def __str__(self) -> str:
        kinds = {"background": self.background, "ignored": self.ignored}
        if self.object is not None:
            kinds["object"] = self.object
        said = [f"{_ranges(values)} {kind}" for kind, values in kinds.items() if values]
        said += [f"{value} {name}" for name, value in self.classes.items()]
        return "; ".join(said if self.object is not None or self.classes else [*said, "all else object"])


BINARY = MaskValues(ignored=())  # 0 background, all else object
CONVENTIONS = {
    "voc": MaskValues(),  # Pascal VOC: 255 is the border of the objects
    "binary": BINARY,
    "trimap": MaskValues(object=(1,), background=(2,), ignored=(3,)),  # Oxford-IIIT Pet
    "inverted": MaskValues(object=(0,), background=tuple(range(1, 256)), ignored=()),
    # Grey levels between 0 and 255, as smoothing and JPEG leave them.
    "grey": MaskValues(object=tuple(range(128, 256)), background=tuple(range(128)), ignored=()),
}


def _ranges(values: Iterable[int]) -> str:
    """Return whole numbers as text, those that follow each other as "1-255"."""
    runs = [[*run] for _, run in groupby(enumerate(sorted(values)), lambda pair: pair[1] - pair[0])]
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)


def usual_values(found: Sequence[int]) -> MaskValues:
    """Return what the values of a data set's masks mean if nobody says it: VOC's convention, in which 255 is ignored.

    Masks of 0 and 255 alone have no border: there 255 is the object.
    """
    return BINARY if {*found} <= {0, 255} else CONVENTIONS["voc"]

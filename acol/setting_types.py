"""Types of settings with bounds, for the dataclasses in which the settings stand.

Annotations check nothing by themselves: pipeline/params.py checks params.yaml by them. The IoU from which a box counts
as right is here too, since all parts use it.
"""

import unicodedata
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, Predicate

RIGHT_IOU = 0.5  # a box is right from this IoU with a true box on, where a score uses a single IoU


def visible(text: str) -> bool:
    """Return whether a text has a visible character, and no control character."""
    return bool(text.strip()) and not any(unicodedata.category(character) == "Cc" for character in text)


Text = Annotated[str, Predicate(visible)]
Rate = Annotated[float, Gt(0), Le(100)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Probability = Annotated[float, Gt(0), Le(1)]
Count = Annotated[int, Ge(1), Le(1_000_000)]
Natural = Annotated[int, Ge(0), Le(1_000_000)]
Seed = Annotated[int, Ge(0), Lt(2**32)]  # what scikit-learn takes; NumPy and torch take more

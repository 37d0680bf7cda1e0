"""Types of settings with their bounds, which stand beside each setting's default and meaning in its dataclass.

Annotations check nothing by themselves: pipeline/params.py holds params.yaml against them. Beside them stands the one
bound of scores that all parts share.
"""

import unicodedata
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, Predicate

RIGHT = 0.5  # the IoU with a true box from which a box is right, where one number decides


def visible(text: str) -> bool:
    """Return whether a text has something to see, and no control characters."""
    return bool(text.strip()) and not any(unicodedata.category(character) == "Cc" for character in text)


Text = Annotated[str, Predicate(visible)]
Rate = Annotated[float, Gt(0), Le(100)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Probability = Annotated[float, Gt(0), Le(1)]
Count = Annotated[int, Ge(1), Le(1_000_000)]
Natural = Annotated[int, Ge(0), Le(1_000_000)]
Seed = Annotated[int, Ge(0), Lt(2**32)]  # what scikit-learn takes; NumPy and torch take more

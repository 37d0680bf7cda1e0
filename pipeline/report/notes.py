"""What the test images cannot tell: sentences that stand beside the scores."""

from collections import Counter
from collections.abc import Sequence

from acol.data.evenness import uneven
from acol.data.manifest import Image

FEW = 10  # test images of a class; with fewer its accuracy moves by more than ten points with each of them


def notes_on(tests: Sequence[Image]) -> list[str]:
    """Return a sentence for each: truth for a part of the images only, classes with few images, uneven classes."""
    found = []
    for name, known in (("boxes", [image.boxes for image in tests]), ("masks", [image.masked for image in tests])):
        if 0 < (count := sum(map(bool, known))) < len(tests):
            found.append(f"{count} of the {len(tests)} test images have {name}: what {name} score is of these.")
    counts = Counter(image.label for image in tests)
    if few := [f"{label} ({count})" for label, count in sorted(counts.items()) if count < FEW]:
        found.append(f"Fewer than {FEW} test images: {', '.join(few)}. Scores of these classes mean little.")
    if uneven(counts.values()):
        largest = max(counts, key=lambda label: counts[label])
        found.append(
            f"The classes are uneven: a model that always says {largest} is right in "
            f"{counts[largest] / len(tests):.0%}. Balanced accuracy counts each class the same."
        )
    return found

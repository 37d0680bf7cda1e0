"""The classes of images whose folders do not tell them: their annotations do."""

from collections.abc import Mapping, Sequence

from acol.data.images import shown
from acol.ingest.annotations import Annotation
from acol.ingest.layout import Layout
from acol.ingest.names import one_name, plain


def label_of(annotation: Annotation) -> str | None:
    """Return the class that an annotation gives: its own label, or its largest object's name; None without both."""
    if annotation.label is not None:
        return annotation.label
    sizes = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in annotation.boxes]
    return annotation.names[sizes.index(max(sizes))] if annotation.names and sizes else None


def label_images(layout: Layout, annotated: Mapping[str, Annotation], faults: list[str]) -> list[str]:
    """Give each image of the layout its class, remove those without one, and return remarks on these and on names."""
    spelling: dict[str, str] = {}  # Cat and cat are one class
    names = set()
    without = []
    for path in list(layout.labels):
        name = label_of(annotated[path]) if path in annotated else None
        if not name:
            without.append(path)
            del layout.labels[path]
            continue
        names.add(name)
        layout.labels[path] = spelling.setdefault(plain(name), name)
    layout.folders.extend((None, label) for label in sorted(set(layout.labels.values())))
    if len(layout.folders) < 2:
        have = f"only the class {layout.folders[0][1]!r}" if layout.folders else "no class"
        faults.append(f"{shown(layout.base)}: the annotations give {have}; at least two are needed")
    joined = [f"{one!r} and {other!r} are one class in two spellings" for one, other in one_name(names)]
    return joined + ([told(without, "no object in an annotation, and so no class: left out")] if without else [])


def told(paths: Sequence[str], what: str, kind: str = "image") -> str:
    """Return one line on images: how many, the first three, and what is with them."""
    names = ", ".join(shown(path) for path in sorted(paths)[:3])
    return f"{len(paths)} {kind}{'s' if len(paths) > 1 else ''} ({names}{', ...' if len(paths) > 3 else ''}): {what}"

"""verify: says whether a model's weights, its card and the data here are those that its card names.

    acol verify models:/acol@champion
    acol verify model.onnx               an export, with its card model.onnx.card.json beside it

prints a line for each, and exits with 1 if one does not agree. Data that are not in this folder are not compared.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.files import sha256
from pipeline import cli
from pipeline.params import load_params
from pipeline.places import LABELS, MANIFEST, read_json
from pipeline.tracking.card import with_digest
from pipeline.tracking.registry import CARD, CARD_TAG, SCHEME, download, pin, read_card, read_packaged, version_of


def verify(model: str, root: Path) -> Iterator[tuple[str, bool, str]]:
    """Yield what was compared, whether it agrees, and the finding in words; raises `InputError` without a card."""
    if model.startswith(SCHEME):
        version = pin(model, root)
        with download(version, root) as files:
            card, weights = read_card(files, model), sha256(read_packaged(files, model)[0])
        part, registered_digest = "weights", version_of(version, root).tags.get(CARD_TAG)
    else:
        file, card_file = Path(model), Path(f"{model}.{CARD}")
        for path in (file, card_file):
            if not path.is_file():
                raise InputError(f"{path}: no such file; name a registered model, or what `acol export` wrote")
        card, weights = read_json(card_file), sha256(file)
        part, registered_digest = "export", None
    yield "weights", *_compare_hash(weights, card.get(part))
    # The card holds its own digest; a registered version has it as a tag too, which no change of the file reaches.
    digest = with_digest(card)["digest"]
    unchanged = card.get("digest") == digest and registered_digest in (None, digest)
    yield "card", unchanged, f"digest {digest}" if unchanged else "it was changed after it was written"
    yield from _compare_data(card.get("data"), root)


def _compare_hash(actual: str, described: Any, key: str = "sha256") -> tuple[bool, str]:
    """Return whether a hash is the one in a part of the card, and that in words."""
    expected = described.get(key) if isinstance(described, dict) else None  # somebody may have changed the card
    return actual == expected, f"SHA-256 {actual}" + ("" if actual == expected else f", the card says {expected}")


def _compare_data(described: Any, root: Path) -> Iterator[tuple[str, bool, str]]:
    """Compare the data of the project in `root` with the data that the card describes."""
    if not (root / LABELS).is_file() or not (root / MANIFEST).is_file():
        yield "data", True, "not in this folder"
        return
    images = load_params(root / "params.yaml").data.root
    labels, manifest = read_manifest(root / LABELS, images), read_manifest(root / MANIFEST, images)
    yield "training data", *_compare_hash(labels.digest(), described)
    yield "test data", *_compare_hash(replace(manifest, images=manifest.of("test")).digest(), described, "test_sha256")
    hashes = {manifest.root / image.path: image.sha256 for image in manifest.images}
    here = [file for file in hashes if file.is_file()]
    changed = [file for file in here if sha256(file) != hashes[file]]
    finding = f"{len(here)} of {len(hashes)} images are here"
    yield "images", not changed, finding + (f"; {len(changed)} changed, such as {changed[0]}" if changed else "")


@cli.main
def main() -> None:
    """Verify the model of the command line."""
    parser = cli.parser("pipeline.verify", "Compare a model with its card.")
    parser.add_argument("model", help="registered model such as models:/acol@champion, or an exported file")
    compared = list(verify(parser.parse_args().model, Path.cwd()))
    for subject, agrees, finding in compared:
        verb = "agrees" if subject == "card" else "agree"  # all others are plural
        print(f"{subject}: {verb}{'' if agrees else ' NOT'}; {finding}")
    sys.exit(0 if all(agrees for _, agrees, _ in compared) else 1)


if __name__ == "__main__":
    main()

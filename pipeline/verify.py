"""verify: says whether a model's weights, its card and the data here are those that its card names.

    acol verify models:/acol@champion
    acol verify model.onnx               an export, with its card model.onnx.card.json beside it

prints a line for each, and exits with 1 if one does not agree. Data that are not in this folder are not compared.
"""

import sys
import tempfile
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
from pipeline.tracking.card import digest_of
from pipeline.tracking.registry import CARD, CARD_TAG, SCHEME, card_in, download, packaged_in, pinned, version_of


def verify(model: str, root: Path) -> Iterator[tuple[str, bool, str]]:
    """Yield what was compared, whether it agrees, and the finding in words; raises `InputError` without a card."""
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        if model.startswith(SCHEME):
            version = pinned(model, root)
            local = download(version, root, folder)
            card, weights = card_in(local, model), packaged_in(local, model)[0]
            wanted, told = card["weights"]["sha256"], version_of(version, root).tags.get(CARD_TAG)
        else:
            beside, weights = Path(f"{model}.{CARD}"), Path(model)
            for file in (weights, beside):
                if not file.is_file():
                    raise InputError(f"{file}: no such file; name a registered model, or what `acol export` wrote")
            card = read_json(beside)
            wanted, told = card["export"]["sha256"], None
        found, digest = sha256(weights), digest_of(card)
    yield "weights", found == wanted, f"SHA-256 {found}" + ("" if found == wanted else f", the card says {wanted}")
    same = card["digest"] == digest and told in (None, digest)
    yield "card", same, f"digest {digest}" if same else "it was changed after it was written"
    yield from _data(card["data"], root)


def _data(said: dict[str, Any], root: Path) -> Iterator[tuple[str, bool, str]]:
    if not (root / LABELS).is_file() or not (root / MANIFEST).is_file():
        yield "data", True, "not in this folder"
        return
    place = load_params(root / "params.yaml").data.root
    labels, manifest = read_manifest(root / LABELS, place), read_manifest(root / MANIFEST, place)
    tests = replace(manifest, images=manifest.of("test")).digest()
    for name, found, wanted in (
        ("training data", labels.digest(), said["sha256"]),
        ("test data", tests, said["test_sha256"]),
    ):
        yield name, found == wanted, f"SHA-256 {found}" + ("" if found == wanted else f", the card says {wanted}")
    files = [(manifest.root / image.path, image.sha256) for image in manifest.images]
    here = [(file, wanted) for file, wanted in files if file.is_file()]
    changed = [str(file) for file, wanted in here if sha256(file) != wanted]
    what = f"{len(here)} of {len(files)} images are here"
    yield "images", not changed, what + (f"; {len(changed)} changed, such as {changed[0]}" if changed else "")


@cli.main
def main() -> None:
    """Verify the model of the command line."""
    parser = cli.parser("pipeline.verify", "Compare a model with its card.")
    parser.add_argument("model", help="registered model such as models:/acol@champion, or an exported file")
    found = list(verify(parser.parse_args().model, Path.cwd()))
    for what, agrees, words in found:
        print(f"{what}: {'agree' if what.endswith(('s', 'data')) else 'agrees'}{'' if agrees else ' NOT'}; {words}")
    sys.exit(0 if all(agrees for _, agrees, _ in found) else 1)


if __name__ == "__main__":
    main()

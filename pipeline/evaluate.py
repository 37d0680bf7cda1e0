"""evaluate: score one cell on the test images, and keep the maps of that one forward pass for the pictures."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from acol.checkpoint import load_model
from acol.data.loading import LabelledImages, load_split
from acol.data.manifest import Manifest, read_manifest
from acol.evaluation import Evaluation, evaluate, iou_curves
from acol.faithfulness import faithfulness
from acol.files import atomic_folder
from acol.inference import SplitOutputs, run_split
from acol.precision import choose_device
from pipeline import cli
from pipeline.params import Evaluate
from pipeline.places import CACHE, MANIFEST, model, results


def score(checkpoint: Path, manifest: Manifest, settings: Evaluate, cache: Path) -> tuple[Evaluation, SplitOutputs]:
    """Score a checkpoint on the test split; validation boxes, where there are any, choose the box threshold."""
    device = choose_device()
    network, card = load_model(checkpoint, device)

    sizes = [round(scale * card.preprocessing.size) for scale in settings.scales]

    def views(split: str) -> list[LabelledImages]:
        return [load_split(manifest, split, size, cache) for size in sizes]

    def run(split: Sequence[LabelledImages]) -> SplitOutputs:
        return run_split(
            network,
            split,
            card.preprocessing,
            device=device,
            precision=card.precision,
            batch_size=settings.batch_size,
        )

    held_out = manifest.of("val")
    boxed = bool(held_out) and all(image.boxes for image in held_out)
    validation = iou_curves(run(views("val")), held_out, network.recipe) if boxed else None
    tests = views("test")
    outputs = run(tests)
    faithful = {}
    if settings.faithfulness:
        faithful = faithfulness(
            network,
            tests[0],
            outputs,
            card.preprocessing,
            device=device,
            precision=card.precision,
            batch_size=settings.batch_size,
            images=settings.faithfulness,
            seed=settings.seed,
        )
    evaluation = evaluate(
        outputs,
        manifest.of("test"),
        card.classes,
        network.recipe,
        manifest.root,
        fixed_tau=settings.tau,
        validation=validation,
        faithful=faithful,
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    tested = {"scales": settings.scales, "test_sha256": replace(manifest, images=manifest.of("test")).digest()}
    return replace(evaluation, details=evaluation.details | tested), outputs


def write_results(evaluation: Evaluation, outputs: SplitOutputs, folder: Path) -> None:
    """Write metrics.json, details.json, images.csv and maps.npz, whole or not at all."""
    with atomic_folder(folder) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(evaluation.metrics, indent=2) + "\n")
        details = json.dumps(evaluation.details, ensure_ascii=False) + "\n"
        (temporary / "details.json").write_text(details, encoding="utf-8")
        evaluation.images.to_csv(temporary / "images.csv", index=False)
        maps = {
            name: np.moveaxis(getattr(outputs, name), 0, 1).astype(np.float16) for name in ("cams", "predicted_cams")
        }
        if evaluation.iou_curves is not None:
            maps["iou_curves"] = evaluation.iou_curves
        paths = np.array(evaluation.images["path"].tolist())
        np.savez_compressed(temporary / "maps.npz", paths=paths, **maps)


@cli.main
def main() -> None:
    """Evaluate the cell that the command line names."""
    params, cell = cli.cell_arguments(__doc__)
    evaluation, outputs = score(model(cell.name) / "best.pt", read_manifest(MANIFEST), params.evaluate, CACHE)
    write_results(evaluation, outputs, results(cell.name))
    shown = ("accuracy_top1", "gt_known_loc", "max_box_acc_v2")
    print(cell.name, *(f"{name} {evaluation.metrics[name]:.3f}" for name in shown if name in evaluation.metrics))


if __name__ == "__main__":
    main()

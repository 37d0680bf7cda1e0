"""evaluate: scores one cell on the test images, and keeps its maps for the pictures."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acol.data.loading import LabelledImages, load_split
from acol.data.manifest import Manifest, read_manifest
from acol.errors import InputError
from acol.files import atomic_folder, atomic_write
from acol.localization.choice import TRUSTED, Choice, choose
from acol.localization.epochs import localization_of
from acol.localization.evaluation import Evaluation, evaluate
from acol.localization.faithfulness import faithfulness
from acol.localization.fusion import CAM, check_map
from acol.localization.inference import SplitOutputs, run_split
from acol.localization.map_scores import region_curves
from acol.localization.maps import FusedMaps
from acol.metrics.calibration import Calibration, fit_calibration
from acol.network.checkpoint import ModelCard, load_model
from acol.network.distributed import ALONE, World, connected
from acol.network.inference_form import for_inference
from acol.network.model import ACoL
from acol.network.precision import choose_device
from acol.recipe import Recipe
from pipeline import cli
from pipeline.params import AUTO, Evaluate
from pipeline.places import CACHE, MANIFEST, model, reading, results, speed
from pipeline.report.metrics import SUMMARY, about

_SHOWN = ("norm", TRUSTED)  # maps that are scored too if evaluate.maps is "auto"


@dataclass(frozen=True)
class Subject:
    """A model to be evaluated on the images of a manifest. `cache` is the folder of the decoded images."""

    network: ACoL
    card: ModelCard
    manifest: Manifest
    cache: Path
    device: torch.device

    @classmethod
    def load(cls, checkpoint: Path, manifest: Manifest, cache: Path, device: torch.device) -> "Subject":
        """Load a checkpoint. Raises `InputError` if it cannot be used, or is of other classes than the images."""
        network, card = load_model(checkpoint, device)
        if card.classes != manifest.classes:
            raise InputError(f"{checkpoint}: was trained on other classes than these images have; train it again")
        return cls(network, card, manifest, cache, device)

    @cached_property
    def answering(self) -> ACoL:
        """The network in its form for inference, so that the scored model is the served one."""
        return for_inference(self.network)

    def view(self, split: str, scale: float = 1) -> LabelledImages:
        """Return a split's images at a multiple of the size at which the network was trained."""
        return load_split(self.manifest, split, round(scale * self.card.preprocessing.size), self.cache)

    def passes(self, settings: Evaluate) -> dict[str, Any]:
        """Return the arguments that say how images pass through the network."""
        return {"device": self.device, "precision": self.card.precision, "batch_size": settings.batch_size}


def outputs_of(subject: Subject, settings: Evaluate, world: World = ALONE) -> dict[str, SplitOutputs]:
    """Return the outputs of the split "test", and of "val" if it has images. Several processes share the images."""
    for scale in settings.scales:
        subject.network.backbone.check_size(round(scale * subject.card.preprocessing.size))
    outputs, passes = {}, subject.passes(settings)
    for split in (split for split in ("val", "test") if subject.manifest.of(split)):
        views = [subject.view(split, scale) for scale in settings.scales]
        outputs[split] = run_split(subject.answering, views, subject.card.preprocessing, world=world, **passes)
    return outputs


def score(
    subject: Subject, settings: Evaluate, outputs: Mapping[str, SplitOutputs], further: Collection[str] = ()
) -> Evaluation:
    """Score the outputs of the test images. Those of the validation images choose map, box threshold and calibration.

    The maps `further` are scored in addition to those of the settings.
    """
    manifest, recipe = subject.manifest, subject.network.recipe
    # The validation images choose the map, the calibration and a box threshold, since the test images must not.
    held_out = manifest.of("val")
    validation, calibration = None, Calibration()
    choice = _choose_map(settings, outputs, manifest, recipe)
    if "val" in outputs:
        labels = [manifest.index(image.label) for image in held_out]
        calibration = fit_calibration(outputs["val"].logits[0], labels)
        if boxed := [n for n, image in enumerate(held_out) if image.boxes]:
            sources = {name: maps[boxed] for name, maps in outputs["val"].sources(recipe).items()}
            validation = region_curves(FusedMaps(sources, choice.name), [held_out[n] for n in boxed])
    # More forward passes of some test images measure how much the classifier uses what the map shows.
    faithful = {}
    if settings.faithfulness:
        faithful = faithfulness(
            subject.answering,
            subject.view("test"),
            outputs["test"],
            subject.card.preprocessing,
            images=settings.faithfulness,
            seed=settings.seed,
            name=choice.name,
            **subject.passes(settings),
        )
    # Compute the scores.
    evaluation = evaluate(
        outputs["test"],
        manifest.of("test"),
        subject.card.classes,
        recipe,
        manifest.root,
        fixed_tau=settings.tau,
        mask_values=manifest.mask_values,
        validation=validation,
        faithful=faithful,
        calibration=calibration,
        choice=choice,
        others={*further, *(_SHOWN if settings.maps == AUTO else settings.maps)},
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    tested = {"scales": settings.scales, "test_sha256": replace(manifest, images=manifest.of("test")).digest()}
    return replace(evaluation, details=evaluation.details | tested)


def _choose_map(settings: Evaluate, outputs: Mapping[str, SplitOutputs], manifest: Manifest, recipe: Recipe) -> Choice:
    """Return the map by which the cell is scored: the first of the settings, or chosen on the validation images."""
    if settings.maps != AUTO:
        return Choice(check_map(settings.maps[0], {CAM, *outputs["test"].norms}), "setting")
    # Without validation images there is nothing to choose by; the test images' outputs only say which maps there are.
    known = outputs["val" if "val" in outputs else "test"]
    return choose(known, recipe, manifest.of("val"), manifest.root, manifest.mask_values)


def with_epochs(evaluation: Evaluation, folder: Path, manifest: Manifest) -> Evaluation:
    """Add MaxBoxAccV2 of the validation images in each epoch of the training in `folder`, if they have boxes.

    Raises `InputError` if the maps that training kept are missing, broken, or of other images.
    """
    held_out, file = {image.path: image for image in manifest.of("val")}, folder / "val_maps.npz"
    with reading(file), np.load(file) as kept:
        images, maps = [held_out[path] for path in kept["paths"]], kept["maps"]
    if not all(image.boxes for image in images):
        return evaluation
    by_epoch = [round(localization_of(of_epoch, images), 6) for of_epoch in maps]
    return replace(evaluation, details=evaluation.details | {"val_max_box_acc_v2": by_epoch})


def write_results(evaluation: Evaluation, outputs: SplitOutputs, folder: Path) -> None:
    """Write metrics.json, details.json, images.csv and maps.npz into `folder`, all or none of them."""
    with atomic_folder(folder) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(evaluation.metrics, indent=2) + "\n")
        details = json.dumps(evaluation.details, ensure_ascii=False) + "\n"
        (temporary / "details.json").write_text(details, encoding="utf-8")
        evaluation.images.to_csv(temporary / "images.csv", index=False)
        maps = {name: np.moveaxis(getattr(outputs, name), 0, 1) for name in ("cams", "predicted_cams")}
        maps = {name: values.astype(np.float16) for name, values in {**maps, **evaluation.maps}.items()}
        if evaluation.iou_curves is not None:
            maps["iou_curves"] = evaluation.iou_curves
        paths = np.array(evaluation.images["path"].tolist())
        np.savez_compressed(temporary / "maps.npz", paths=paths, **maps)


@cli.main
def main() -> None:
    """Evaluate the cell that the command line names, and print the scores of the summary."""
    params, cell = cli.cell_arguments("Score one cell on the test images.")
    device, manifest = choose_device(params.train.device), read_manifest(MANIFEST, params.data.root)
    subject = Subject.load(model(cell.name) / "best.pt", manifest, CACHE, device)
    with connected(device) as world:
        began = time.perf_counter()
        outputs = outputs_of(subject, params.evaluate, world)
        took = time.perf_counter() - began
    if not world.first:
        return
    images = sum(len(manifest.of(split)) for split in outputs)
    # Times differ between equal runs, so they are not among the results.
    with atomic_write(speed(cell.name)) as temporary:
        temporary.write_text(json.dumps({"ms_per_image": round(1000 * took / images, 3)}) + "\n")
    evaluation = with_epochs(score(subject, params.evaluate, outputs), model(cell.name), manifest)
    write_results(evaluation, outputs["test"], results(cell.name))
    headline = [about(key) for key in SUMMARY if key in evaluation.metrics]
    scores = [f"{metric.title} {metric.with_unit(evaluation.metrics[metric.key])}" for metric in headline]
    print(f"{cell.name}, map {evaluation.details['map']}: {', '.join(scores)}")


if __name__ == "__main__":
    main()

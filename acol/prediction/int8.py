"""An exported ONNX model with 8-bit integers: a third of the size and time. It is written only if it loses little."""

import json
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from acol.data.loading import LabelledImages
from acol.data.manifest import Image
from acol.errors import InputError
from acol.files import atomic_write
from acol.localization.fusion import upsample
from acol.localization.regions import MAP_SIZE, box_of, true_boxes
from acol.metrics.boxes import half_open_iou
from acol.metrics.comparison import Difference, compare
from acol.metrics.curves import box_iou_curves
from acol.metrics.scored import MaxScore, MeanScore

CALIBRATION_IMAGES = 100  # training images whose activations set the ranges of the integers
# Limits of what may be lost: the whole 95 % interval must lie below. A box that moves is not always a worse one.
LIMITS = {"accuracy": 0.03, "MaxBoxAccV2": 0.03, "1 - IoU of the box with the float file's": 0.1}
_ACCURACY, _SCORE, _MOVED = LIMITS
_QUANTIZED = ["Conv", "Clip", "Relu", "Add"]  # those of the network, but not those that make its features a map


def write_int8(float_file: Path, file: Path, train: LabelledImages, val: LabelledImages, truth: Sequence[Image]) -> str:
    """Write an ONNX model with 8-bit weights and activations, if it loses little; return in words what it loses.

    The validation images decide, so that the test images can still say without bias how good the file is. Without
    boxes, it is measured how far boxes move.

    Args:
        float_file: the file of the model in float32.
        file: the file that is written.
        train: the training images; `CALIBRATION_IMAGES` of them, drawn with seed 0, calibrate the integers.
        val, truth: the validation images, and the same images of the manifest, with their boxes if they have some.

    All images have the size that the file states. Raises `InputError`, and writes nothing, if onnxruntime is not
    installed, or if a loss may be above its limit.
    """
    if find_spec("onnxruntime") is None:
        raise InputError("--int8: needs onnxruntime; pip install 'acol[export]'")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # onnxruntime asks for one calibration image after the other.
    chosen = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_IMAGES]
    inputs = ({"images": _as_input(train.pixels[index])} for index in sorted(chosen))
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        simplified, int8_file = Path(folder, "simplified.onnx"), Path(folder, "int8.onnx")
        quant_pre_process(str(float_file), str(simplified), skip_symbolic_shape=True)
        # Weights of seven bits: with eight, CPUs that have only AVX2 would overflow, and give other answers.
        quantize_static(
            str(simplified),
            str(int8_file),
            SimpleNamespace(get_next=lambda: next(inputs, None)),
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        # Refuse the model if the interval of a loss is not below its limit.
        losses = compare_files(float_file, int8_file, val, truth)
        points = ", ".join(f"{name} {_in_points(loss)}" for name, loss in losses.items())
        summary = f"points lost on {len(val)} validation images, with 95 % intervals: {points}"
        above = [f"{100 * LIMITS[name]:g} of {name}" for name, loss in losses.items() if not loss.high <= LIMITS[name]]
        if above:
            raise InputError(f"--int8: {summary}; the limit is {' and '.join(above)}; export without --int8")
        model = onnx.load(str(int8_file))
        facts = {name: (loss.difference, loss.low, loss.high) for name, loss in losses.items()}
        model.metadata_props.add(key="int8", value=json.dumps({"images": len(val), "lost": facts}))
        with atomic_write(file) as temporary:
            temporary.write_bytes(model.SerializeToString())
    return summary


def compare_files(file: Path, int8_file: Path, images: LabelledImages, truth: Sequence[Image]) -> dict[str, Difference]:
    """Return, by the names of `LIMITS`, what the model in 8-bit integers loses, with 95 % intervals.

    `truth` are the same images of the manifest. With true boxes the loss is of MaxBoxAccV2, without any of the box.
    """
    threshold, *before = _predict(file, images)
    _, *after = _predict(int8_file, images)
    right = [(probabilities.argmax(1) == images.labels).astype(float) for probabilities, _ in (before, after)]
    losses = {_ACCURACY: compare([MeanScore(right[0])], [MeanScore(right[1])])}
    if boxed := [n for n, image in enumerate(truth) if image.boxes]:
        boxes = [true_boxes(truth[n]) for n in boxed]
        curves = [MaxScore(box_iou_curves(maps[boxed], boxes)) for _, maps in (before, after)]
        return losses | {_SCORE: compare([curves[0]], [curves[1]])}
    predicted = [np.array([box_of(each, threshold) for each in maps], float) for _, maps in (before, after)]
    iou = half_open_iou(predicted[0], predicted[1])
    return losses | {_MOVED: compare([MeanScore(np.ones_like(iou), shares=True)], [MeanScore(iou, shares=True)])}


def _predict(file: Path, images: LabelledImages) -> tuple[float, np.ndarray, np.ndarray]:
    """Return a file's threshold, and its probabilities (N, C) and maps (N, MAP_SIZE, MAP_SIZE) for images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    parts = [session.run(None, {"images": _as_input(pixels)}) for pixels in images.pixels]
    probabilities, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
    threshold = json.loads(session.get_modelmeta().custom_metadata_map["threshold"])
    scored_maps = upsample(torch.from_numpy(maps), (MAP_SIZE, MAP_SIZE)).clamp(0, 1).numpy()
    return threshold, probabilities, scored_maps


def _as_input(pixels: Any) -> np.ndarray:
    """Return an image (S, S, 3) uint8 as the file takes it, (1, 3, S, S) in [0, 1]."""
    return np.asarray(pixels, np.float32).transpose(2, 0, 1)[None] / 255


def _in_points(loss: Difference) -> str:
    return f"{100 * loss.difference:.1f} [{100 * loss.low:.1f}, {100 * loss.high:.1f}]"

"""An exported ONNX model in 8-bit integers: a third of the size and time, written only if it loses little."""

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
from acol.localization.evidence import upsample
from acol.localization.regions import MAP_SIZE, box_of, true_boxes
from acol.metrics.boxes import half_open_iou
from acol.metrics.comparison import Difference, compare
from acol.metrics.curves import box_iou_curves
from acol.metrics.scored import MaxScore, MeanScore

CALIBRATING = 100  # training images, whose activations set the ranges of the integers
# The loss that the whole 95 % interval must stay below. A box that moves is not yet a worse one.
LIMITS = {"accuracy": 0.03, "MaxBoxAccV2": 0.03, "1 - IoU of the box with the float file's": 0.1}
_ACCURACY, _SCORE, _MOVED = LIMITS
_QUANTIZED = ["Conv", "Clip", "Relu", "Add"]  # the network; not what makes its features a map


def write_int8(whole: Path, file: Path, train: LabelledImages, val: LabelledImages, truth: Sequence[Image]) -> str:
    """Write the ONNX model `whole` to `file` with 8-bit weights and activations; return what it loses, in words.

    `CALIBRATING` of the training images, drawn with seed 0, calibrate it. The validation images `val`, of which `truth`
    has the boxes, decide; so the test images can still say without bias how good the file is. Without boxes it is told
    by how much boxes move. All images are of the size that the file names.

    Raises `InputError`, and writes nothing, without onnxruntime, or if a loss may be above its limit.
    """
    if find_spec("onnxruntime") is None:
        raise InputError("--int8: needs onnxruntime; pip install 'acol[export]'")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    chosen = np.random.default_rng(0).permutation(len(train))[:CALIBRATING]
    feed = ({"images": _input(train.pixels[index])} for index in sorted(chosen))
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        ready, small = Path(folder, "ready.onnx"), Path(folder, "small.onnx")
        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        # Seven bits of a weight: CPUs with AVX2 alone would overflow by eight, and answer otherwise than this one.
        quantize_static(
            str(ready),
            str(small),
            SimpleNamespace(get_next=lambda: next(feed, None)),
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        found = losses(whole, small, val, truth)
        said = ", ".join(f"{name} {_points(loss)}" for name, loss in found.items())
        said = f"points lost on {len(val)} validation images, with 95 % intervals: {said}"
        if over := [
            f"{100 * LIMITS[name]:g} of {name}" for name, loss in found.items() if not loss.high <= LIMITS[name]
        ]:
            raise InputError(f"--int8: {said}; the limit is {' and '.join(over)}; export without --int8")
        written = onnx.load(str(small))
        facts = {name: (loss.difference, loss.low, loss.high) for name, loss in found.items()}
        written.metadata_props.add(key="int8", value=json.dumps({"images": len(val), "lost": facts}))
        with atomic_write(file) as temporary:
            temporary.write_bytes(written.SerializeToString())
    return said


def losses(whole: Path, small: Path, images: LabelledImages, truth: Sequence[Image]) -> dict[str, Difference]:
    """Return by the names of `LIMITS` what the file `small` loses on images, compared with `whole`, with intervals."""
    threshold, *before = _answers(whole, images)
    _, *after = _answers(small, images)
    right = [
        MeanScore((probabilities.argmax(1) == images.labels).astype(float)) for probabilities, _ in (before, after)
    ]
    found = {_ACCURACY: compare([right[0]], [right[1]])}
    if boxed := [n for n, image in enumerate(truth) if image.boxes]:
        boxes = [true_boxes(truth[n]) for n in boxed]
        curves = [MaxScore(box_iou_curves(maps[boxed], boxes)) for _, maps in (before, after)]
        return found | {_SCORE: compare([curves[0]], [curves[1]])}
    drawn = [np.array([box_of(one, threshold) for one in maps], float) for _, maps in (before, after)]
    same = half_open_iou(drawn[0], drawn[1])
    return found | {_MOVED: compare([MeanScore(np.ones_like(same), shares=True)], [MeanScore(same, shares=True)])}


def _answers(file: Path, images: LabelledImages) -> tuple[float, np.ndarray, np.ndarray]:
    """The file's threshold; its probabilities (N, C) and maps (N, MAP_SIZE, MAP_SIZE) of images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    parts = [session.run(None, {"images": _input(pixels)}) for pixels in images.pixels]
    probabilities, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
    threshold = json.loads(session.get_modelmeta().custom_metadata_map["threshold"])
    scored = upsample(torch.from_numpy(maps), (MAP_SIZE, MAP_SIZE)).clamp(0, 1).numpy()
    return threshold, probabilities, scored


def _input(pixels: Any) -> np.ndarray:
    """An image (S, S, 3) uint8 as the file takes it, (1, 3, S, S) in [0, 1]."""
    return np.asarray(pixels, np.float32).transpose(2, 0, 1)[None] / 255


def _points(loss: Difference) -> str:
    return f"{100 * loss.difference:.1f} [{100 * loss.low:.1f}, {100 * loss.high:.1f}]"

"""A trained model in one file for other programs: as ONNX, or in the format of torch.export."""

import copy
import io
import json
from dataclasses import asdict
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acol.errors import InputError
from acol.files import atomic_write
from acol.localization.fusion import CAM, combine, upsample
from acol.network.feature_norms import features_and_norms
from acol.network.model import ACoL, normalise
from acol.prediction.predictor import Predictor

ExportFormat = Literal["onnx", "torch"]
OPSET = 18
SIDE = 32  # an exported model takes sides that are multiples of this; no backbone has a larger stride
ONNX_PACKAGES = ("onnx", "onnxscript")


class ExportedModel(nn.Module):
    """What an exported file computes: normalisation, erasing, norms, fusion, upsampling and calibration.

    It uses only operations that OpenCV can run, which cannot compute an index.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.model = cast(ACoL, _exportable_copy(predictor.model).cpu().eval())
        self.calibration, self.map_name, self.depths = predictor.calibration, predictor.map_name, predictor.depths
        preprocessing = predictor.card.preprocessing
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (N, C), and the predicted class's map (N, H, W) in [0, 1].

        `images` (N, 3, H, W) are RGB in [0, 1].
        """
        model = self.model
        features, norms = features_and_norms(model.backbone, (images - self.mean) / self.std, self.depths)
        features = model.pooling(features)
        logits = model.classifiers[0](features).mean((2, 3), keepdim=True)
        # The map of the predicted class is selected by a product, since OpenCV cannot compute an index.
        chosen = (logits == logits.amax(1, keepdim=True)).float()  # 1 for the predicted class, else 0
        cams = []
        for classifier, delta in zip(model.classifiers, (*model.recipe.deltas, 1.0), strict=True):
            cams.append(normalise((classifier(features) * chosen).sum(1, keepdim=True)))
            features = features * (1 - (cams[-1] > delta).float())
        maps = reduce(torch.maximum, [cams[k] for k in model.recipe.complementary])
        if self.map_name != CAM:
            sources = {CAM: maps} | {name: normalise(norm) for name, norm in norms.items()}
            maps = combine(sources, self.map_name)
        # No reshape before the last lines: OpenCV would keep the size of this one image in it.
        maps = upsample(maps, (images.shape[2], images.shape[3])).squeeze(1)
        softmax = (logits.flatten(1) / self.calibration.temperature).softmax(1)
        return self.calibration.bounded(softmax), maps.clamp(0, 1)


class SameConvolution(nn.Module):
    """A convolution with timm's "same" padding, for sides that are multiples of its stride.

    For these the padding is constant. timm computes it from the side by `math.ceil`, which torch.export cannot export.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.pads: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last dimension
            kernel, stride, dilation = (getattr(convolution, n)[axis] for n in ("kernel_size", "stride", "dilation"))
            total = max((kernel - 1) * dilation + 1 - stride, 0)
            self.pads += [total // 2, total - total // 2]

    def forward(self, features: Tensor) -> Tensor:
        """Pad and convolve features (N, C, H, W) -> (N, D, H / stride, W / stride)."""
        layer = self.convolution
        padded = F.pad(features, self.pads)
        return F.conv2d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


def _exportable_copy(module: nn.Module) -> nn.Module:
    """Return a copy of a module in which all parts can be exported."""
    copied = copy.deepcopy(module)
    for name, part in list(copied.named_modules()):
        if type(part).__name__ == "Conv2dSame":
            copied.set_submodule(name, SameConvolution(cast(nn.Conv2d, part)))
    return copied


def exported_size(predictor: Predictor) -> int:
    """Return the side of the images that an exported model takes: the model's, rounded up to a multiple of `SIDE`."""
    return -(-predictor.card.preprocessing.size // SIDE) * SIDE


def export(predictor: Predictor, file: Path, file_format: ExportFormat, fixed: bool = False) -> None:
    """Write the model of a predictor to a file, completely or not at all.

    The file also holds what its users must know, such as the classes and the threshold: in ONNX as JSON in
    metadata_props, a key for each fact; in the format of torch.export as the extra file facts.json.

    Args:
        predictor: with the model, its map, threshold and calibration.
        file: where the model is written.
        file_format: "onnx" or "torch".
        fixed: whether the written model takes only one image of the model's size (default: False, any number of images
            whose sides are multiples of `SIDE` pixels).

    Raises `InputError` if the packages for ONNX are not installed.
    """
    if file_format == "onnx" and not all(map(find_spec, ONNX_PACKAGES)):
        raise InputError(f"--format onnx: needs {' and '.join(ONNX_PACKAGES)}; pip install 'acol[export]'")
    # What users of the file must know.
    size = exported_size(predictor)
    shape, other_sizes = ("(1, 3, size, size)", "") if fixed else ("(N, 3, H, W)", ", or other multiples of 32")
    facts = {
        "classes": predictor.card.classes,
        "size": size,
        "threshold": predictor.tau,
        "map": predictor.map_name,
        "calibration": asdict(predictor.calibration),
        "input": f"images: float32 {shape}, RGB in [0, 1], resized to size x size{other_sizes}",
        "outputs": "probabilities (N, classes); map (N, H, W) in [0, 1]: the object is above threshold x its maximum",
    }
    # The computation as a graph; without `fixed`, the number and the sides of images are free.
    axes = {0: torch.export.Dim("batch"), **{axis: SIDE * torch.export.Dim(f"side{axis}", min=1) for axis in (2, 3)}}
    model = ExportedModel(predictor)  # not in inference mode: the writer of ONNX sets requires_grad
    with torch.inference_mode(), torch.no_grad():
        images, dynamic = torch.zeros(1 if fixed else 2, 3, size, size), None if fixed else (axes,)
        program = torch.export.export(model, (images,), dynamic_shapes=dynamic, strict=False)
    with atomic_write(file) as temporary:
        if file_format == "torch":
            archive = io.BytesIO()  # torch refuses the temporary file, whose name begins with a dot
            torch.export.save(program, archive, extra_files={"facts.json": json.dumps(facts)})
            temporary.write_bytes(archive.getvalue())
            return
        onnx_program = torch.onnx.export(
            program, input_names=["images"], output_names=["probabilities", "map"], opset_version=OPSET, verbose=False
        )
        assert onnx_program is not None
        onnx_program.model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
        onnx_program.save(str(temporary))

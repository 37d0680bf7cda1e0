"""A trained model as one file for other programs: ONNX, or torch.export's own format."""

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
from acol.localization.evidence import CAM, combine, upsample
from acol.network.feature_norms import features_and_norms
from acol.network.model import ACoL, normalise
from acol.prediction.predictor import Predictor

Form = Literal["onnx", "torch"]
OPSET = 18
SIDE = 32  # sides of exported images are multiples of it: no backbone has a larger stride
PACKAGES = ("onnx", "onnxscript")


class Exported(nn.Module):
    """Images (N, 3, H, W), RGB in [0, 1] -> probabilities (N, C), and the likeliest class's map (N, H, W) in [0, 1].

    Normalisation, erasing, norms, fusion, calibration and upsampling are inside, by operations that OpenCV has: there
    no index is computed. No gradients are needed.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.model = cast(ACoL, _exportable(predictor.model).cpu().eval())
        self.calibration, self.map_name, self.depths = predictor.calibration, predictor.map_name, predictor.depths
        preprocessing = predictor.card.preprocessing
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Name and locate the object in each image."""
        model = self.model
        features, norms = features_and_norms(model.backbone, (images - self.mean) / self.std, self.depths)
        features = model.pooling(features)
        logits = model.classifiers[0](features).mean((2, 3), keepdim=True)
        chosen = (logits == logits.amax(1, keepdim=True)).float()  # 1 for the likeliest class, else 0
        cams = []
        for classifier, delta in zip(model.classifiers, (*model.recipe.deltas, 1.0), strict=True):
            cams.append(normalise((classifier(features) * chosen).sum(1, keepdim=True)))
            features = features * (1 - (cams[-1] > delta).float())
        maps = reduce(torch.maximum, [cams[k] for k in model.recipe.complementary])
        if self.map_name != CAM:
            sources = {CAM: maps} | {name: normalise(strength) for name, strength in norms.items()}
            maps = combine(sources, self.map_name)
        # No reshape before the last line: OpenCV would hold it to this one size.
        maps = upsample(maps, (images.shape[2], images.shape[3])).squeeze(1)
        softmax = (logits.flatten(1) / self.calibration.temperature).softmax(1)
        return self.calibration.bounded(softmax), maps.clamp(0, 1)


class SameConvolution(nn.Module):
    """A convolution of timm's "same" padding, for sides that are multiples of its stride: then the padding is constant.

    timm computes the padding from the side by `math.ceil`, which torch.export cannot write.
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
        its = self.convolution
        return F.conv2d(F.pad(features, self.pads), its.weight, its.bias, its.stride, 0, its.dilation, its.groups)


def _exportable(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose parts can all be exported."""
    copied = copy.deepcopy(module)
    for name, part in list(copied.named_modules()):
        if type(part).__name__ == "Conv2dSame":
            copied.set_submodule(name, SameConvolution(cast(nn.Conv2d, part)))
    return copied


def export(predictor: Predictor, file: Path, form: Form, fixed: bool = False) -> None:
    """Write the model of `predictor` to `file`, as ONNX or as torch.export's format; the file is whole or not there.

    The written model takes any number of images whose sides are multiples of `SIDE` pixels, or, with `fixed`, one image
    of the model's own size. The file also holds what its users must know: in ONNX each fact is JSON in metadata_props,
    in torch.export's format all are the extra file facts.json. Raises `InputError` without the packages for ONNX.
    """
    size = -(-predictor.card.preprocessing.size // SIDE) * SIDE  # the model's, rounded up to one that the file takes
    shape, others = ("(1, 3, size, size)", "") if fixed else ("(N, 3, H, W)", ", or other multiples of 32")
    facts = {
        "classes": predictor.card.classes,
        "size": size,
        "threshold": predictor.tau,
        "map": predictor.map_name,
        "calibration": asdict(predictor.calibration),
        "input": f"images: float32 {shape}, RGB in [0, 1], resized to size x size{others}",
        "outputs": "probabilities (N, classes); map (N, H, W) in [0, 1]: the object is above threshold x its maximum",
    }
    axes = {0: torch.export.Dim("batch"), **{axis: SIDE * torch.export.Dim(f"side{axis}", min=1) for axis in (2, 3)}}
    exported = Exported(predictor)
    with torch.inference_mode(), torch.no_grad():
        images, free = torch.zeros(1 if fixed else 2, 3, size, size), None if fixed else (axes,)
        program = torch.export.export(exported, (images,), dynamic_shapes=free, strict=False)
    with atomic_write(file) as temporary:
        if form == "torch":
            archive = io.BytesIO()  # torch takes no hidden file, which the unfinished one is
            torch.export.save(program, archive, extra_files={"facts.json": json.dumps(facts)})
            temporary.write_bytes(archive.getvalue())
            return
        if not all(find_spec(name) for name in PACKAGES):
            raise InputError(f"--format onnx: needs {' and '.join(PACKAGES)}; pip install 'acol[export]'")
        made = torch.onnx.export(
            program, input_names=["images"], output_names=["probabilities", "map"], opset_version=OPSET, verbose=False
        )
        assert made is not None
        made.model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
        made.save(str(temporary))

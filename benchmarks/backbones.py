"""Compare backbones before any training: their size, the cells of their maps, and the time of an answer on a CPU.

    python -m benchmarks.backbones [NAME ...] [--size 224] [--output-stride 16] [--rounds 5]

Each is built with random weights, which change neither size nor time, and a `p` classifier of four classes; one that
refuses the output stride keeps its own. Timed is what a prediction computes on one CPU thread: the backbone in the form
in which it answers (`acol.network.inference_form`), the norms at its depths, and the classifier; no image is read and
no map drawn. Backbones alternate in rounds. The table has the least CPU time of an image, and in brackets its ratio to
the first backbone of the list.
"""

import argparse
import time

import torch

from acol.errors import InputError
from acol.network.feature_norms import features_and_norms, modules_of_depths
from acol.network.inference_form import for_inference
from acol.network.model import ACoL
from acol.network.precision import autocast, choose_device, choose_precision

TORCHVISION = ("resnet18", "resnet50", "mobilenet_v3_large", "convnext_tiny", "vgg16")
TIMM = ("timm/tf_efficientnet_lite0", "timm/tf_efficientnet_lite2", "timm/efficientnet_b0", "timm/resnet50d")
TRANSFORMERS = ("timm/vit_small_patch16_224", "timm/vit_small_patch14_reg4_dinov2")
BATCHES, IMAGES = (1, 16), 16  # IMAGES: how many a round answers, as one batch or several


def build(name: str, stride: int) -> tuple[ACoL, str]:
    """Return the model, and what to say of its stride: nothing if it takes the one asked for."""
    try:
        return ACoL(name, "p", 4, weights=None, output_stride=stride).eval(), ""
    except InputError as error:
        if "stride" not in str(error):
            raise
        return ACoL(name, "p", 4, weights=None).eval(), " (own stride)"


def cpu_seconds(model: ACoL, depths: dict[str, str], images: torch.Tensor, precision: str) -> float:
    """The least CPU time of one image among the batches that make up `IMAGES`."""
    times = []
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        for _ in range(IMAGES // len(images)):
            start = time.process_time()
            model.classify(features_and_norms(model.backbone, images, depths)[0])
            times.append(time.process_time() - start)
    return min(times) / len(images)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*TORCHVISION, *TIMM, *TRANSFORMERS])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--output-stride", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cpu = choose_device("cpu")
    precisions = dict.fromkeys(("float32", choose_precision("auto", cpu)))  # bfloat16 where the CPU multiplies it
    images = torch.rand(max(BATCHES), 3, arguments.size, arguments.size).contiguous(memory_format=torch.channels_last)
    kinds = [(precision, size) for precision in precisions for size in BATCHES]
    models, facts = {}, {}
    for name in arguments.names:
        model, said = build(name, arguments.output_stride)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        stored = sum(tensor.nbytes for tensor in model.state_dict().values())  # batch norms have statistics, too
        depths = modules_of_depths(model.backbone)
        models[name] = for_inference(model), depths
        with torch.inference_mode():
            rows, columns = model(images[:1]).cams.shape[2:]
        shown = ", ".join(f"`{module.removeprefix('trunk.')}`" for module in depths.values()) or "none"
        facts[name] = f"{parameters / 1e6:.1f} | {stored / 1e6:.0f} | {rows} x {columns}{said} | {shown}"
    least = {(name, *kind): float("inf") for name in models for kind in kinds}
    for _ in range(arguments.rounds):
        for name, precision, size in least:
            found = cpu_seconds(*models[name], images[:size], precision)
            least[name, precision, size] = min(found, least[name, precision, size])
    print("| Backbone | Parameters, M | best.pt, MB | Cells | Depths |", end="")
    print("".join(f" {precision}, {size} at a time, ms |" for precision, size in kinds))
    print("| :-- | --: | --: | :-- | :-- |" + " --: |" * len(kinds))
    for name in models:
        times = [(least[name, *kind], least[arguments.names[0], *kind]) for kind in kinds]
        print(f"| `{name}` | {facts[name]} |" + "".join(f" {1000 * own:.1f} ({own / of:.2f}) |" for own, of in times))


if __name__ == "__main__":
    main()

"""check: refuses a wrong params.yaml before any other stage runs, with a line for each fault.

DVC itself would stop at the first setting that it misses. The content of this stage's output never changes, so that no
other stage reruns.
"""

from collections.abc import Iterator

from acol.errors import Faults, InputError
from acol.files import atomic_write
from acol.network.backbones import build_backbone, provenance_of
from pipeline import cli
from pipeline.params import Params, load_params
from pipeline.places import CHECKED


def faults_of(params: Params) -> Iterator[str]:
    """Build each backbone of the grid, and yield the settings that it refuses: name, weights, stride, freeze, sizes."""
    for name in params.grid.backbones:
        try:
            provenance_of(params.model_of(name), params.source_of(name).weights)
            backbone = build_backbone(params.model_of(name), output_stride=params.train.output_stride)
            backbone.freeze(params.train.freeze)
        except InputError as error:
            yield f"backbones.{name}: {error}"
            continue
        for scale in params.evaluate.scales:
            size = round(scale * params.image.size)
            if fault := backbone.size_fault(size):
                key = "image.size" if scale == 1 else "evaluate.scales"
                yield f"{key}: {name} would see images of {size} pixels, but {fault}"


@cli.main
def main() -> None:
    """Check params.yaml."""
    cli.no_arguments("Check params.yaml.")
    if faults := [f"params.yaml: {fault}" for fault in faults_of(load_params())]:
        raise Faults(faults)
    with atomic_write(CHECKED) as temporary:
        temporary.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()

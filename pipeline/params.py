"""The schema of params.yaml. The error for an unknown key, a wrong type or an impossible value says how to fix it."""

import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import Field

from acol.data.images import as_line
from acol.data.sizes import ImageSizes
from acol.errors import Faults, InputError, did_you_mean
from acol.head import Head
from acol.ingest.folder_settings import FolderSettings
from acol.ingest.names import OWN_SETTINGS
from acol.recipe import Recipe
from acol.setting_types import Count, Fraction, Natural, Seed, Share, Text
from acol.training.settings import TrainingSettings
from pipeline.places import SPLIT
from pipeline.report.metrics import COMPARED
from pipeline.strict_yaml import parse_settings, read_yaml

LONGEST_HEAD = 100  # characters: files and folders are named after cells, and a name may have 255
AUTO = "auto"
T = TypeVar("T")
if TYPE_CHECKING:
    Compared: TypeAlias = str
else:
    Compared = Literal[COMPARED]
Mean = Annotated[tuple[Annotated[float, Ge(0), Le(1)], ...], MinLen(3), MaxLen(3)]
Deviation = Annotated[tuple[Annotated[float, Ge(0.001), Le(1)], ...], MinLen(3), MaxLen(3)]


@dataclass(frozen=True)
class Grid:
    """The experiments: every backbone with every head."""

    backbones: Annotated[tuple[str, ...], MinLen(1)]
    heads: Annotated[tuple[str, ...], MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a backbone is and where its weights come from. With source "none" the weights are random.

    `model` is torchvision's name or "timm/NAME" (default: the backbone's own name). `weights` is torchvision's name or
    timm's tag of the weights (default: the model's). `mean` and `std` are those with which the weights of a file were
    trained, for values in [0, 1] (default: those of the library for the model).
    """

    model: Text | None = None
    source: Literal["package", "torchvision", "timm", "file", "none"]
    weights: Text | None = None
    path: Text | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    mean: Mean | None = None
    std: Deviation | None = None

    def __post_init__(self) -> None:
        needed, allowed = {
            "package": (set(), set()),
            "none": (set(), set()),
            "torchvision": ({"weights"}, set()),
            "timm": (set(), {"weights", "sha256"}),
            "file": ({"path", "sha256"}, {"mean", "std"}),
        }[self.source]
        named = {key for key in ("weights", "path", "sha256", "mean", "std") if getattr(self, key) is not None}
        for key in sorted(needed - named):
            raise InputError(f"source {self.source} needs {key}; add it")
        for key in sorted(named - needed - allowed):
            raise InputError(f"source {self.source} takes no {key}; remove it")


@dataclass(frozen=True, kw_only=True)
class Data(FolderSettings):
    """Where the images are, and how they are read. `name` is torchvision's name of the data set."""

    source: Literal["folder", "torchvision"] = "folder"
    path: Text
    name: Text | None = None

    @property
    def root(self) -> Path:
        """The folder that paths in the manifest are relative to."""
        return Path(self.path)

    def __post_init__(self) -> None:
        super().__post_init__()
        expanded = os.path.expanduser(os.path.expandvars(self.path))
        if expanded != self.path:
            raise InputError(
                f"path {self.path!r}: DVC watches it, and expands neither ~ nor variables; write {expanded}"
            )
        if self.root in (Path(), SPLIT.parent) or self.root.is_relative_to(SPLIT):
            raise InputError(f"path {self.path!r} holds what the stages write; move the images, such as to data/images")
        annotated = self.annotations is not None and self.annotations.format == "torchvision"
        if annotated or (self.source == "torchvision") != (self.name is not None):
            raise InputError("source torchvision and name belong together; write source: torchvision, name: ...")
        if self.name is not None and (self.annotations or self.masks or self.images != "."):
            raise InputError("source torchvision knows images, annotations and masks; remove these settings")


@dataclass(frozen=True, kw_only=True)
class Train(TrainingSettings):
    """How every cell is trained.

    `best_by` is the validation score that chooses the epoch: "accuracy" (balanced accuracy if the classes are uneven)
    or "localization", which needs boxes. `device` is also used to evaluate, predict and serve.
    """

    best_by: Literal["accuracy", "localization"]
    output_stride: Literal[32, 16, 8]
    device: Text
    precision: Literal["auto", "bfloat16", "float32"]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How test images are scored.

    `tau` is the fixed threshold of a box, as a share of the map's maximum. Maps are averaged over `scales`, which are
    multiples of image.size; the first is 1. `faithfulness` is the number of test images on which deletion, insertion
    and average drop are measured. The first of `maps` (`acol.localization.fusion.MAPS`) is the cell's map, and the
    others are scored too; "auto" chooses the cell's map on the validation images.
    """

    maps: Literal["auto"] | Annotated[tuple[Text, ...], MinLen(1)] = "auto"
    tau: Fraction = 0.4
    scales: Annotated[tuple[Annotated[float, Ge(0.25), Le(4)], ...], MinLen(1)] = (1.0, 1.5)
    batch_size: Count = 64
    faithfulness: Natural = 32
    bootstrap: Annotated[int, Ge(100), Le(100_000)] = 1000
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.scales[0] != 1:
            raise InputError(f"scales start with {self.scales[0]:g}; put 1, the size of training, first")
        if len(set(self.scales)) < len(self.scales):
            raise InputError("scales name a size twice; remove one")
        if self.maps != AUTO:
            from acol.localization.fusion import check_map  # loads torch

            for name in self.maps:
                check_map(name)


@dataclass(frozen=True, kw_only=True)
class Cams:
    """How many test images get a panel: `sample`, the same images in every cell, and each cell's worst `failures`."""

    sample: Natural = 8
    failures: Natural = 4
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Which cell is best: the first metric decides, a tie goes to the next."""

    best_by: Annotated[tuple[Text, ...], MinLen(1)] = ("max_box_acc_v2", "accuracy_top1")


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The MLflow experiment that shows the cells."""

    experiment: Annotated[Text, MaxLen(250)] = "acol"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When the best cell becomes the champion of the registered model `model`.

    Its score in `metric` (without boxes `accuracy_top1`) must exceed the champion's on the same test images by more
    than `min_gain`, a fraction, with `confidence`. It must also be above the baselines of that metric, except those
    that `accept_below` names.
    """

    model: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "acol"
    metric: Compared = "max_box_acc_v2"
    confidence: Annotated[float, Ge(0.5), Lt(1)] = 0.95
    min_gain: Share = 0.0
    accept_below: tuple[Literal["centred_box", "norm", "imagenet_cam", "majority_class"], ...] = ()


Range = Annotated[tuple[Annotated[float, Gt(0), Le(100)], ...], MinLen(2), MaxLen(2)]


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search: `trials` draws for each of `recipes` from the same ranges [lowest, highest].

    A recipe here is a head without deltas. The validation score `metric` chooses the best trial of each recipe. That
    one is trained anew with `seeds` seeds. See `pipeline.search`.
    """

    recipes: Annotated[tuple[Text, ...], MinLen(1)]
    backbone: str | None = None
    trials: Count
    delta: Range
    lr: Range
    classifier_lr: Range
    weight_decay: Range
    epochs: Annotated[tuple[Count, ...], MinLen(2), MaxLen(2)]
    seeds: Annotated[int, Ge(1), Le(100)]
    metric: Literal["accuracy", "max_box_acc_v2"]
    sampler: Literal["random", "tpe"] = "random"
    seed: Annotated[int, Ge(0), Lt(1_000)] = 0

    def __post_init__(self) -> None:
        for name in ("delta", "lr", "classifier_lr", "weight_decay", "epochs"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"{name} [{low:g}, {high:g}] is upside down; write [{high:g}, {low:g}]")
        if self.delta[1] >= 1:
            raise InputError(f"delta ends at {self.delta[1]:g}; a delta is below 1")
        if len(set(self.recipes)) < len(self.recipes):
            raise InputError("recipes name one twice; remove it")
        for recipe in self.recipes:
            self._check(recipe)

    def _check(self, recipe: str) -> None:
        letters, *words = recipe.split("-")
        if any(re.fullmatch(r"s?[0-9.]+", word) for word in words):
            raise InputError(f"recipe {recipe}: deltas are drawn and seeds are set by seeds; write {letters}")
        parse_head("-".join([letters, *["0.5"] * (len(letters) - 1), *words]))


@dataclass(frozen=True)
class Cell:
    """One experiment of the grid: a backbone and a head."""

    backbone: str
    head: Head
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The head's recipe."""
        return self.head.recipe

    @property
    def name(self) -> str:
        """The name that the cell has in DVC, in folders, in MLflow and in the report."""
        return f"{self.backbone}-{self.head}"

    @property
    def group(self) -> str:
        """What the seeds of one experiment share: the cell's name without a seed."""
        return f"{self.backbone}-{self.head.without_seed}"


@dataclass(frozen=True, kw_only=True)
class Params:
    """All of params.yaml. DVC knows no defaults, so the settings that dvc.yaml names have none here either."""

    grid: Grid
    backbones: dict[str, Pretrained]
    data: Data
    image: ImageSizes
    train: Train
    evaluate: Evaluate
    cams: Cams
    compare: Compare
    tracking: Tracking = Tracking()
    gate: Gate = Gate()
    search: Search | None = None

    def __post_init__(self) -> None:
        if faults := sorted([*self._faults_of_names(), *self._faults_of_backbones(), *self._faults_of_heads()]):
            raise Faults(faults)

    def _faults_of_names(self) -> Iterator[str]:
        if self.search and self.search.backbone is not None and self.search.backbone not in self.backbones:
            named = did_you_mean(self.search.backbone, self.backbones)
            yield f"search.backbone: {self.search.backbone} has no entry under backbones; {named}"
        for key, names in (("backbones", self.grid.backbones), ("heads", self.grid.heads)):
            for name in [name for name in names if names.count(name) > 1][:1]:
                yield f"grid.{key}: {as_line(name):.100} is listed twice; remove one"

    def _faults_of_backbones(self) -> Iterator[str]:
        for name in {*self.grid.backbones, *self.backbones}:
            model = self.model_of(name)
            library = "timm" if model.startswith("timm/") else "torchvision"
            if not re.fullmatch(r"\w{1,60}", name, re.ASCII):
                yield f"backbone {name!r:.100}: use only letters, digits and _; name the model under model"
            elif name not in self.backbones:
                yield f"grid.backbones: {name} has no entry under backbones; add {name}: {{source: ...}}"
            elif (source := self.backbones[name].source) in ("torchvision", "timm") and source != library:
                yield f"backbones.{name}.source: {source}, but {model} is a model of {library}; write {library}"

    def _faults_of_heads(self) -> Iterator[str]:
        seen: dict[tuple[Head, int], str] = {}  # a head and its seed: the text that names them
        for text in self.grid.heads:
            try:
                head = parse_head(text)
            except InputError as error:
                yield f"grid.heads: {error}"
                continue
            experiment = (head.without_seed, self.train.seed if head.seed is None else head.seed)
            if seen.setdefault(experiment, text) != text:
                yield f"grid.heads: {text} and {seen[experiment]} are the same with the same seed; remove one"

    def model_of(self, backbone: str) -> str:
        """Return the model of a backbone: torchvision's name, or "timm/NAME"."""
        entry = self.backbones.get(backbone)
        return backbone if entry is None or entry.model is None else entry.model

    def source_of(self, backbone: str) -> Pretrained:
        """Return the settings of a backbone. Raises `InputError` if it has none."""
        if backbone not in self.backbones:
            raise InputError(f"params.yaml: backbones has no {backbone}; {did_you_mean(backbone, self.backbones)}")
        return self.backbones[backbone]

    def cell(self, backbone: str, head: str) -> Cell:
        """Return the cell of a backbone and a head, also if it is not in the grid.

        Raises `InputError` for a backbone without settings and for a malformed head.
        """
        self.source_of(backbone)
        parsed = parse_head(head)
        return Cell(backbone, parsed, self.train.seed if parsed.seed is None else parsed.seed)

    def cells(self) -> list[Cell]:
        """Return the cells of the grid, in its order."""
        return [self.cell(backbone, head) for backbone in self.grid.backbones for head in self.grid.heads]

    def flat(self, *sections: str) -> dict[str, Any]:
        """Return the settings of the named sections as {"train.lr": 0.01, ...}."""
        return {key: value for name in sections for key, value in _flatten(asdict(getattr(self, name)), f"{name}.")}


def parse_head(text: str) -> Head:
    """Read a head of the grid. Raises `InputError` if it is malformed, or too long for the name of a file."""
    if len(text) > LONGEST_HEAD:
        raise InputError(f"head {text[:40]!r}...: over {LONGEST_HEAD} characters, too long for file names; shorten it")
    return Head.parse(text)


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check a params file. Raises `Faults` with a line for each: file, key, problem and remedy."""
    try:
        return parse_settings(Params, read_yaml(path))
    except Faults as error:
        raise Faults([f"{as_line(path)}: {line}" for line in error.faults]) from None


def settings_of_images(section: dict[str, Any]) -> Data:
    """Return the section `data`, completed with the settings in acol.yaml in the folder of images.

    Raises `Faults` for wrong settings, and for settings that do not belong into acol.yaml.
    """
    data = parse_settings(Data, section)
    file = data.root / OWN_SETTINGS
    if not file.is_file():
        return data
    own = read_yaml(file)
    if not isinstance(own, dict) or {"source", "path", "name"} & own.keys():
        raise InputError(f"{as_line(file)}: not settings of images such as images, annotations, masks; correct it")
    try:
        return parse_settings(Data, own | section)
    except Faults as error:
        raise Faults([f"{as_line(file)}: {line}" for line in error.faults]) from None


def part_of(kind: type[T], section: Any, **changes: Any) -> T:
    """Return the library's settings `kind`, which a section extends, with some changes."""
    return kind(**{each.name: getattr(section, each.name) for each in fields(kind)} | changes)  # type: ignore[arg-type]


def _flatten(value: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, entry in value.items():
        items += _flatten(entry, f"{prefix}{key}.") if isinstance(entry, dict) else [(prefix + key, entry)]
    return items

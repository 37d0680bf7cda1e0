"""The schema of params.yaml. An error for an unknown key, a wrong type or an impossible value says how to fix it."""

import os
import re
import reprlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML

from acol.data.images import shown
from acol.data.manifest import FRACTIONS
from acol.data.masks import CONVENTIONS, MaskValues
from acol.errors import Faults, InputError, did_you_mean
from acol.head import Head
from acol.recipe import Recipe
from pipeline.places import SPLIT

GONE = (
    "pretraining on drawn images was removed; "
    "use the weights of a package: lite0: {model: timm/tf_efficientnet_lite0, source: package}"
)
# What dvc.yaml names of params.yaml, and DVC therefore wants to find there: it knows no defaults.
WATCHED = {
    "grid": ("backbones", "heads"),
    "backbones": (),
    "data": ("path",),
    "image": (),
    "train": ("best_by", "output_stride", "device", "precision"),
    "evaluate": (),
    "cams": (),
    "compare": (),
}
LONGEST_HEAD = 100  # characters: files and folders are named after cells, and file systems stop at 255


def _number(value: object) -> object:
    # A whole number is a number too. One that is too large for a float is left to pydantic, which refuses it.
    return float(value) if type(value) is int and abs(value) < 2**63 else value


def _visible(text: str) -> str:
    if not text.strip() or any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError(f"{reprlib.repr(text)} is blank or holds control characters; write visible text")
    return text


Text = Annotated[str, AfterValidator(_visible)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Rate = Annotated[Real, Field(gt=0, le=100)]
Fraction = Annotated[Real, Field(gt=0, lt=1)]
Share = Annotated[Real, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Natural = Annotated[int, Field(ge=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what scikit-learn takes; NumPy and torch take more
MaskValue = Annotated[int, Field(ge=0, le=65_535)]
Mean = Annotated[list[Annotated[Real, Field(ge=0, le=1)]], Field(min_length=3, max_length=3)]
Deviation = Annotated[list[Annotated[Real, Field(ge=0.001, le=1)]], Field(min_length=3, max_length=3)]


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Grid(Section):
    """The experiments: every backbone with every head."""

    backbones: Annotated[list[str], Field(min_length=1)]
    heads: Annotated[list[str], Field(min_length=1)]


class Pretrained(Section):
    """What a backbone is and where its weights come from.

    `model` is torchvision's name or "timm/NAME" (default: the backbone's own name). `weights` is a name of
    torchvision's or a tag of timm's (default: the model's). `mean` and `std`, for values in [0, 1], are those with
    which a file's weights were trained (default: the library's for the model).
    """

    model: Text | None = None
    source: Literal["package", "torchvision", "timm", "file"]
    weights: Text | None = None
    path: Text | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    mean: Mean | None = None
    std: Deviation | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_drawn_task(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("source") == "proxy":
            raise ValueError(f"source proxy: {GONE}")
        return content

    @model_validator(mode="after")
    def _complete(self) -> "Pretrained":
        wanted, allowed = {
            "package": (set(), set()),
            "torchvision": ({"weights"}, set()),
            "timm": (set(), {"weights", "sha256"}),
            "file": ({"path", "sha256"}, {"mean", "std"}),
        }[self.source]
        given = {key for key in ("weights", "path", "sha256", "mean", "std") if getattr(self, key) is not None}
        for key in sorted(wanted - given):
            raise ValueError(f"source {self.source} needs {key}; add it")
        for key in sorted(given - wanted - allowed):
            raise ValueError(f"source {self.source} takes no {key}; remove it")
        return self


class Annotations(Section):
    """Boxes beside the images, for evaluation only."""

    format: Literal["voc", "coco", "yolo", "csv", "wsol", "cub"]
    path: Text
    names: dict[Text, Text] | Literal["any"] = {}  # an object's name: its class; any: every object counts
    leave_out: list[Literal["difficult", "occluded", "truncated", "group_of", "depiction", "inside"]] | None = None
    frame: Literal["upright", "stored"] | None = None  # the pixels of a photograph with an EXIF turn that boxes are on
    without: list[Text] = []  # classes that have no objects, whatever is annotated in their images


class MaskMeaning(Section):
    """The values of mask files by what they mean."""

    object: Annotated[list[MaskValue], Field(min_length=1)]
    background: list[MaskValue] = [0]
    ignored: list[MaskValue] = [255]

    @model_validator(mode="after")
    def _each_once(self) -> "MaskMeaning":
        both = sorted({*self.object} & {*self.background} | {*self.ignored} & {*self.object, *self.background})
        if both:
            raise ValueError(f"the value {both[0]} has two meanings; name it once")
        return self


class Masks(Section):
    """PNG masks within `path`, and what their values mean; see `acol.data.masks`.

    `values` is a convention's name, or the values of object, background and ignored pixels. `classes` are the values of
    semantic masks, by class. Without both, the masks' values decide between voc and binary. `list` is a file within
    data.path that lists the masks of each image, as wsolevaluation does for OpenImages.
    """

    path: Text
    values: Literal["voc", "binary", "trimap", "inverted", "grey"] | MaskMeaning | None = None
    classes: dict[str, MaskValue] | None = None
    list: Text | None = None
    frame: Literal["upright", "stored"] | None = None  # the pixels of a photograph with an EXIF turn that masks are on

    @model_validator(mode="after")
    def _one_meaning(self) -> "Masks":
        given = [key for key in ("values", "classes", "list") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
        return self

    @property
    def meaning(self) -> MaskValues | None:
        """What the values mean, None if nobody says it."""
        if self.classes is not None:
            return MaskValues(classes=self.classes)
        if isinstance(self.values, MaskMeaning):
            return MaskValues(tuple(self.values.object), tuple(self.values.background), tuple(self.values.ignored))
        return None if self.values is None else CONVENTIONS[self.values]


class Data(Section):
    """Where the images come from and how they are split."""

    source: Literal["folder", "torchvision"] = "folder"
    path: Text
    name: Text | None = None  # torchvision's name of the data set
    images: Text = "."
    classes: list[Text] = []  # the class folders, if not all folders are
    label_from: Literal["folder", "annotation"] = "folder"
    group_by: Text | None = None  # a regular expression: images of one match stay in one split
    test_from: Literal["val", "train"] | None = None  # where train and val are given: which images are test
    annotations: Annotations | None = None
    masks: Text | Masks | None = None
    val_fraction: Fraction = FRACTIONS["val"]
    test_fraction: Fraction = FRACTIONS["test"]
    seed: Seed = 0
    unreadable: Literal["stop", "leave_out"] = "stop"

    @property
    def root(self) -> Path:
        """The folder that paths in the manifest are relative to."""
        return Path(self.path)

    @model_validator(mode="after")
    def _consistent(self) -> "Data":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no training images; lower them")
        place = Path(self.path)
        if (whole := os.path.expanduser(os.path.expandvars(self.path))) != self.path:
            raise ValueError(
                f"path {self.path!r}: DVC, which watches it, expands neither ~ nor variables; write {whole}"
            )
        if place == Path() or place == SPLIT.parent or place.is_relative_to(SPLIT):
            raise ValueError(f"path {self.path!r} holds what the stages write; move the images, such as to data/images")
        if self.label_from == "annotation" and self.annotations is None:
            raise ValueError("label_from annotation needs annotations: {format, path}; add it")
        if (self.source == "torchvision") != (self.name is not None):
            raise ValueError("source torchvision and name belong together; write source: torchvision, name: ...")
        if self.name is not None and (self.annotations or self.masks or self.images != "."):
            raise ValueError("source torchvision knows images, annotations and masks; remove these settings")
        return self


class ImageSizes(Section):
    """Pixels a side: `size` enters the network, `train_size` is what training crops it from."""

    size: Annotated[int, Field(ge=32, le=2048)] = 224
    train_size: Annotated[int, Field(ge=32, le=2048)] = 248

    @model_validator(mode="after")
    def _crop_fits(self) -> "ImageSizes":
        if self.train_size < self.size:
            raise ValueError(f"train_size {self.train_size} is smaller than size {self.size}; raise it")
        return self


class Conv3(Section):
    """Heads with `conv3`; see `acol.network.model.Conv3Settings`."""

    width: Annotated[int, Field(ge=1, le=8192)] = 1024
    dropout: Share = 0.0
    pooling: bool = True


class HideAndSeek(Section):
    """Heads with `has`; see `acol.training.hide_and_seek`."""

    grids: Annotated[list[Annotated[int, Field(ge=0, le=256)]], Field(min_length=1)] = [0, 4, 5, 7, 14]
    probability: Fraction = 0.5


class CutMix(Section):
    """Heads with `cutmix`; see `acol.training.cutmix`."""

    alpha: Annotated[Real, Field(gt=0, le=100)] = 1.0
    probability: Annotated[Real, Field(gt=0, le=1)] = 1.0


class AttentionDropout(Section):
    """Heads with `adl`; see `acol.training.attention_dropout`."""

    drop_rate: Annotated[Real, Field(ge=0, le=1)] = 0.75
    threshold: Fraction = 0.9


class Train(Section):
    """How every cell is trained; see `acol.training.settings.TrainingSettings`.

    `device` is also used to evaluate, predict and serve.
    """

    epochs: Count = 2
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 32
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: Rate = 0.0001
    classifier_lr: Rate = 0.0005
    momentum: Share = 0.9
    weight_decay: Annotated[Real, Field(ge=0, le=100)] = 0.02
    warmup: Fraction = 0.2
    patience: Count | None = None
    best_by: Literal["accuracy", "localization"]
    class_weights: Literal["none", "balanced"] = "none"
    sampler: Literal["uniform", "balanced"] = "uniform"
    seed: Seed = 0
    output_stride: Literal[32, 16, 8] = 16
    freeze: Annotated[str, Field(pattern=r"^[A-Za-z][\w. ]*$")] = "all but the last stage"
    classifiers: Literal["auto", "fresh"] = "auto"
    conv3: Conv3 = Conv3()
    hide_and_seek: HideAndSeek = HideAndSeek()
    cutmix: CutMix = CutMix()
    attention_dropout: AttentionDropout = AttentionDropout()
    device: Text = "auto"
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    @model_validator(mode="after")
    def _balanced_once(self) -> "Train":
        if self.class_weights == self.sampler == "balanced":
            raise ValueError("class_weights and sampler are both balanced, which corrects twice; keep one")
        return self


class Evaluate(Section):
    """How test images are scored.

    `tau` is the fixed threshold of a box, as a share of the map's maximum. Maps are averaged over `scales`, multiples
    of image.size; the first is 1. `faithfulness` is the number of test images on which deletion, insertion and average
    drop are measured.
    """

    tau: Fraction = 0.4
    scales: Annotated[list[Annotated[Real, Field(ge=0.25, le=4)]], Field(min_length=1)] = [1.0, 1.5]
    batch_size: Count = 64
    faithfulness: Natural = 32
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Seed = 0

    @model_validator(mode="after")
    def _own_size_first(self) -> "Evaluate":
        if self.scales[0] != 1:
            raise ValueError(f"scales start with {self.scales[0]:g}; put 1, the size of training, first")
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales name a size twice; remove one")
        return self


class Cams(Section):
    """Which test images get a panel: `sample`, the same in every cell, and each cell's worst `failures`."""

    sample: Natural = 8
    failures: Natural = 4
    seed: Seed = 0


class Compare(Section):
    """Which cell is best: the first metric decides, a tie goes to the next."""

    best_by: Annotated[list[Text], Field(min_length=1)] = ["max_box_acc_v2", "accuracy_top1"]


class Tracking(Section):
    """The MLflow experiment that shows the cells."""

    experiment: Annotated[Text, Field(max_length=250)] = "acol"


class Gate(Section):
    """When the best cell becomes the champion of the registered model `model`.

    On the same test images its score in `metric` (without boxes `accuracy_top1`) must exceed the champion's by more
    than `min_gain`, a fraction, with `confidence`. It must also be above the baselines of that metric, but for those
    named in `accept_below`.
    """

    model: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "acol"
    metric: Literal["max_box_acc_v2", "top1_loc", "accuracy_top1"] = "max_box_acc_v2"
    confidence: Annotated[Real, Field(ge=0.5, lt=1)] = 0.95
    min_gain: Share = 0.0
    accept_below: list[Literal["centred_box", "imagenet_cam", "majority_class"]] = []


Range = Annotated[list[Annotated[Real, Field(gt=0, le=100)]], Field(min_length=2, max_length=2)]


class Search(Section):
    """A search: `trials` draws for each of `recipes`, heads without deltas, from the same ranges [lowest, highest].

    `metric` of validation chooses; the chosen are trained anew with `seeds` seeds. See `pipeline.search`.
    """

    recipes: Annotated[list[Text], Field(min_length=1)]
    backbone: str | None = None
    trials: Count
    delta: Range
    lr: Range
    classifier_lr: Range
    weight_decay: Range
    epochs: Annotated[list[Count], Field(min_length=2, max_length=2)]
    seeds: Annotated[int, Field(ge=1, le=100)]
    metric: Literal["accuracy", "max_box_acc_v2"]
    sampler: Literal["random", "tpe"] = "random"
    seed: Annotated[int, Field(ge=0, lt=1_000)] = 0

    @model_validator(mode="after")
    def _possible(self) -> "Search":
        for name in ("delta", "lr", "classifier_lr", "weight_decay", "epochs"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} [{low:g}, {high:g}] is upside down; write [{high:g}, {low:g}]")
        if self.delta[1] >= 1:
            raise ValueError(f"delta ends at {self.delta[1]:g}; a delta is below 1")
        if len(set(self.recipes)) < len(self.recipes):
            raise ValueError("recipes name one twice; remove it")
        for recipe in self.recipes:
            self._check(recipe)
        return self

    def _check(self, recipe: str) -> None:
        letters, *words = recipe.split("-")
        if any(re.fullmatch(r"s?[0-9.]+", word) for word in words):
            raise ValueError(f"recipe {recipe}: deltas are drawn and seeds are set by seeds; write {letters}")
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


class Params(Section):
    """All of params.yaml."""

    grid: Grid
    backbones: dict[str, Pretrained]
    data: Data
    image: ImageSizes = ImageSizes()
    train: Train
    evaluate: Evaluate = Evaluate()
    cams: Cams = Cams()
    compare: Compare = Compare()
    tracking: Tracking = Tracking()
    gate: Gate = Gate()
    search: Search | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_proxy(cls, content: Any) -> Any:
        if isinstance(content, dict) and "proxy" in content:
            raise Faults([f"proxy: {GONE}, and remove this section"])
        return content

    @model_validator(mode="after")
    def _grid_is_possible(self) -> "Params":
        faults = self._faults_of_backbones()
        if self.search and self.search.backbone is not None and self.search.backbone not in self.backbones:
            named = did_you_mean(self.search.backbone, self.backbones)
            faults.append(f"search.backbone: {self.search.backbone} has no entry under backbones; {named}")
        for key, names in (("backbones", self.grid.backbones), ("heads", self.grid.heads)):
            twice = [name for name in names if names.count(name) > 1]
            faults += [f"grid.{key}: {shown(name):.100} is listed twice; remove one" for name in twice[:1]]
        known: dict[tuple[Head, int], str] = {}
        for text in self.grid.heads:
            try:
                head = parse_head(text)
            except InputError as error:
                faults.append(f"grid.heads: {error}")
                continue
            experiment = (head.without_seed, self.train.seed if head.seed is None else head.seed)
            if known.setdefault(experiment, text) != text:
                faults.append(f"grid.heads: {text} and {known[experiment]} are the same with the same seed; remove one")
        if faults:
            raise Faults(sorted(faults))
        return self

    def _faults_of_backbones(self) -> list[str]:
        faults = []
        for name in {*self.grid.backbones, *self.backbones}:
            model = self.model_of(name)
            if not re.fullmatch(r"\w{1,60}", name, re.ASCII):
                faults.append(f"backbone {name!r:.100}: use only letters, digits and _, and name the model under model")
            elif name not in self.backbones:
                faults.append(f"grid.backbones: {name} has no entry under backbones; add {name}: {{source: ...}}")
            elif fault := _fault_of_source(model, self.backbones[name].source):
                faults.append(f"backbones.{name}.source: {fault}")
        return faults

    def model_of(self, backbone: str) -> str:
        """Return the model that a backbone is: torchvision's name, or "timm/NAME"."""
        entry = self.backbones.get(backbone)
        return backbone if entry is None or entry.model is None else entry.model

    def cell(self, backbone: str, head: str) -> Cell:
        """Return the cell of a backbone and a head, which need not be in the grid.

        Raises `InputError` for a backbone without settings and for a malformed head.
        """
        if backbone not in self.backbones:
            raise InputError(f"params.yaml: backbones has no {backbone}; {did_you_mean(backbone, self.backbones)}")
        parsed = parse_head(head)
        return Cell(backbone, parsed, self.train.seed if parsed.seed is None else parsed.seed)

    def cells(self) -> list[Cell]:
        """Return the cells of the grid, in its order."""
        return [self.cell(backbone, head) for backbone in self.grid.backbones for head in self.grid.heads]

    def flat(self, *sections: str) -> dict[str, Any]:
        """Return the settings of the named sections as {"train.lr": 0.01, ...}."""
        return dict(_flatten(self.model_dump(include=set(sections))))


def _fault_of_source(model: str, source: str) -> str | None:
    library = "timm" if model.startswith("timm/") else "torchvision"
    if source in ("torchvision", "timm") and source != library:
        return f"{source}, but {model} is a model of {library}; write {library}"
    return None


def parse_head(text: str) -> Head:
    """Read a head of the grid. Raises `InputError` for a malformed one, and for one too long for a file's name."""
    if len(text) > LONGEST_HEAD:
        raise InputError(f"head {text[:40]!r}...: over {LONGEST_HEAD} characters, too long for file names; shorten it")
    return Head.parse(text)


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check a params file.

    Raises `InputError` with all faults, one line each: file, key, problem and remedy.
    """
    name, content = shown(path), _read_yaml(path)
    lines = unwatched(content) if Path(path).with_name("dvc.yaml").is_file() else []
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        said = [line for fault in error.errors() for line in explain(fault)]
        told = {line.partition(":")[0] for line in lines}
        lines += [line for line in said if line.partition(":")[0] not in told]
    if lines:
        raise Faults([f"{name}: {line}" for line in lines])
    return params


def unwatched(content: Any) -> list[str]:
    """Return a line for each setting that DVC wants in params.yaml, and that is not there, with the text to add."""
    if not isinstance(content, dict):
        return []
    lines = []
    for section, keys in WATCHED.items():
        given = content.get(section, {})
        missing = [key for key in keys if isinstance(given, dict) and key not in given]
        put = ", ".join(f"{key}: {_proposed(section, key)}" for key in missing)
        if section not in content:
            lines.append(
                f"{section}: missing, and DVC watches it; add {section}: {{{put or _EXAMPLES.get(section, '')}}}"
            )
        else:
            lines += [
                f"{section}.{key}: missing, and DVC watches it; add {key}: {_proposed(section, key)}" for key in missing
            ]
    return lines


_EXAMPLES = {
    "grid.backbones": "[lite0]",
    "grid.heads": "[p]",
    "backbones": "lite0: {model: timm/tf_efficientnet_lite0, source: package}",
    "data.path": "FOLDER",
    "train.best_by": "accuracy",
}


def _proposed(section: str, key: str) -> str:
    """The default of a setting, or an example where there is none."""
    part: Any = Params.model_fields[section].annotation
    default = part.model_fields[key].default
    return _EXAMPLES.get(f"{section}.{key}") or str(default)


def _read_yaml(path: str | Path) -> Any:
    name = shown(path)
    try:
        # DVC's own reader and dialect, YAML 1.2: both see the same numbers, and a duplicate key is refused.
        return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; run from the project's folder") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); make it a readable file") from None
    except Exception as error:  # beside its own errors it raises Python's, for malformed values
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: not YAML ({reason:.200}); correct the syntax") from None


OWN_SETTINGS = "acol.yaml"  # in data.path: what params.yaml need not say of these images


def with_own_settings(data: Data) -> Data:
    """Return `data` with the settings that its folder has in acol.yaml; those of params.yaml come first.

    Raises `Faults` for settings that are none, or that do not belong there.
    """
    file = data.root / OWN_SETTINGS
    if not file.is_file():
        return data
    own = _read_yaml(file)
    if not isinstance(own, dict) or {"source", "path", "name"} & own.keys():
        raise InputError(f"{shown(file)}: not settings of images such as images, annotations, masks; correct it")
    try:
        return Data.model_validate(own | data.model_dump(exclude_unset=True))
    except ValidationError as error:
        raise Faults([f"{shown(file)}: {line}" for fault in error.errors() for line in explain(fault)]) from None


def explain(fault: Any) -> list[str]:
    """Return one of pydantic's faults as lines: the key, the problem and the remedy."""
    key = shown(".".join(f"{part!s:.100}" for part in fault["loc"])) or "the file"
    if fault["type"] == "value_error":
        error = fault["ctx"]["error"]
        return list(error.faults) if isinstance(error, Faults) else [f"{key}: {error}"]
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        return [f"{key}: unknown key; {did_you_mean(str(fault['loc'][-1]), known)}"]
    if fault["type"] == "missing":
        return [f"{key}: missing; add it"]
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return [f"{key}: {_brief(fault['input'])}: {message}; correct it"]


def _brief(value: object) -> str:
    # Aliases can make a value too large to print, and Python refuses to print a very large number.
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of over 30 digits"
    return f"{reprlib.repr(value):.80}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    section: type[Section] = Params
    for part in location:
        field = section.model_fields.get(part)
        choices = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        # What is not a section is the name of a backbone.
        section = next((c for c in choices if isinstance(c, type) and issubclass(c, Section)), Pretrained)
    return list(section.model_fields)


def _flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, entry in value.items():
        items += _flatten(entry, f"{prefix}{key}.") if isinstance(entry, dict) else [(prefix + key, entry)]
    return items

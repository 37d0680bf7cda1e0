"""Timm's models: any of them whose features lie on a grid, convolutional or not."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from timm.models._hub import download_cached_file
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.features import Backbone, no_such_stride
from acol.network.provenance import Provenance
from acol.network.shapes import LARGE, SMALL, LastStage, run_on_meta, stride_between
from acol.network.weights import PACKAGE, PACKAGE_LICENCE, by_order, is_path, load_whole, package_file, read_state

PREFIX = "timm/"
# With these a transformer takes images of other sizes than the one it was trained on; most know none or one of them.
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
# Pairs of sizes of which at least one is taken by whatever takes more than one size: by patches of 14 or 16 pixels, by
# windows of 7 or 8.
_SIZES = ((224, 448), (256, 512), (SMALL, LARGE))


class TimmBackbone(Backbone):
    """Timm's model without what comes after its last feature map; its stages are attributes here too.

    Raises `InputError` for a model without a spatial feature map.
    """

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        super().__init__(name, provenance)
        self.trunk = whole
        self._prefix = int(getattr(whole, "num_prefix_tokens", None) or 0)
        # What files of the whole model hold, in timm's order.
        self.whole_shapes = {key: value.shape for key, value in whole.state_dict().items()}
        self._measure()
        self._put_out_heads()
        kept = {key.split(".")[0] for key in whole.state_dict()}
        # A model that timm builds without a classifier may come with one.
        self.heads = {key.split(".")[0] for key in self.whole_shapes} - kept | {"classifier", "fc", "head"}

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of timm's model, such as a stage, under its own name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "trunk":
                raise
            return getattr(super().__getattr__("trunk"), name)

    def last_stage(self, images: Tensor) -> Tensor:
        """Run timm's own `forward_features`."""
        return self.trunk.forward_features(images)

    @property
    def library_module(self) -> nn.Module:
        """Timm's model, whose parameters have timm's names."""
        return self.trunk

    def renamed(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Have timm load a state dict into its whole model, by which it renames what others named."""
        rows = state.get(f"{classifier_name(self.name)}.weight")
        try:
            whole = build(self.name, state, 0 if rows is None else len(rows))
        except Exception as error:  # timm's own renaming raises whatever other names than it knows make it raise
            raise ValueError(f"timm: {' '.join(str(error).split()):.160}") from None
        wanted = self.library_state()
        return {key: value for key, value in whole.state_dict().items() if key in wanted}

    def takes(self, size: int, device: str = "meta") -> bool:
        """Whether the backbone takes square images of `size` pixels a side, computed on a `device`."""
        try:
            return run_on_meta(self, size, device=device).numel() > 0
        except Exception:  # each architecture refuses by an exception of its own kind
            return False

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        own, step = self.provenance.size, self.stride
        # By shapes alone some transformers take a size whose positions their tables do not hold.
        device = "meta" if size == own else "cpu"
        sizes = (size, size // step * step, (size // step + 1) * step)
        taken = [n for n in sizes if n and self.takes(n) and self.takes(n, device)]
        return None if size in taken else f"{self.name} takes {' or '.join(map(str, taken or [own]))} pixels"

    def _as_map(self, features: Tensor, image: torch.Size | None) -> Tensor:
        if self.form == "channels last":
            return features.permute(0, 3, 1, 2)
        if self.form == "channels first":
            return features
        tokens = features[:, self._prefix :]  # (N, h * w, channels)
        height, width = image or (1, 1)  # what is gone on from is of square images
        rows = round((tokens.shape[1] * height / width) ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, tokens.shape[1] // rows))

    def _measure(self) -> None:
        """Find out the form of the features, their stride and channels."""
        self.form = "unknown"
        own = self.provenance.size
        shapes = None
        for sizes in _SIZES:
            try:
                shapes = [_shape_of(self, size) for size in sizes]
            except Exception:  # each architecture refuses a size by an exception of its own kind
                continue
            break
        else:
            sizes = (own, own)
            shapes = [_shape_of(self, own)]
        self._size = sizes[0]
        stride = stride_between(shapes[0], shapes[-1], sizes) if len(shapes) == 2 else None
        first = shapes[0]
        if len(first) == 3:
            self.form, self.channels = "tokens", first[2]
            positions = first[1] - self._prefix
            side = round(max(positions, 0) ** 0.5)
            spatial = side * side == positions > 1
        elif len(first) == 4:
            last = first[3] == self.trunk.num_features and first[1] == first[2] and first[1] != first[3]
            self.form = "channels last" if last else "channels first"
            self.channels, side = (first[3], first[1]) if last else (first[1], first[2])
            spatial = True
        else:
            spatial, side = False, 1
        if not spatial:
            raise InputError(f"backbone {self.name}: has no spatial feature map; choose a CNN or a ViT")
        self.stride = stride or round(sizes[0] / side)

    def _put_out_heads(self) -> None:
        """Put out what lies behind the feature map: it would train for nothing, and be saved."""
        called: set[nn.Module] = set()
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs, of=child: called.add(of))
            for child in self.trunk.children()
            for module in child.modules()
        ]
        run_on_meta(self, self._size)
        for hook in hooks:
            hook.remove()
        for name, child in list(self.trunk.named_children()):
            if child not in called and any(True for _ in child.parameters()):
                setattr(self.trunk, name, nn.Identity())
                if not self.takes(self._size):  # it is used otherwise than by a call
                    setattr(self.trunk, name, child)


trunk_of = TimmBackbone


def _shape_of(backbone: TimmBackbone, size: int) -> torch.Size:
    found = run_on_meta(LastStage(backbone), size)
    return found.shape if isinstance(found, Tensor) else torch.Size()


def bare(name: str) -> str:
    """Return timm's own name of the backbone "timm/NAME", with its tag if it names one.

    Raises `InputError` for a model that timm does not know, and for a tag that it has no weights for.
    """
    model = name.removeprefix(PREFIX)
    architecture, _, tag = model.partition(".")
    if architecture not in timm.list_models():
        raise InputError(f"backbone {name!r}: unknown to timm; {_near(architecture)}")
    if tag and tag not in tags(architecture):
        raise InputError(f"backbone {name}: {_no_such_tag(architecture, tag)}")
    return model


def tags(architecture: str) -> list[str]:
    """Return the names of the weights that timm has for an architecture, its default first."""
    found = timm.list_pretrained(f"{architecture}.*")
    listed = [model.partition(".")[2] for model in found if model.partition(".")[0] == architecture]
    default = timm.get_pretrained_cfg(architecture)
    return sorted(listed, key=lambda tag: (default is None or tag != default.tag, tag))


def with_tag(name: str, weights: str | None) -> str:
    """Return timm's name of a backbone with the tag `weights` ("DEFAULT": its own or timm's default).

    Raises `InputError` where timm has no such weights.
    """
    architecture, _, own = bare(name).partition(".")
    if weights is None:
        return bare(name)
    known = tags(architecture)
    tag = (own or (known or [""])[0]) if weights == "DEFAULT" else weights
    if tag not in known:
        raise InputError(f"weights {weights!r} of {name}: {_no_such_tag(architecture, tag)}")
    return f"{architecture}.{tag}"


def provenance(name: str, weights: str | None) -> Provenance:
    """Return what timm's weights by a tag were trained on; without weights, what timm gives for the architecture."""
    model = with_tag(name, weights)
    cfg = timm.get_pretrained_cfg(model) or timm.models.PretrainedCfg()
    return Provenance(
        library=f"timm {timm.__version__}",
        model=name,
        weights=model.partition(".")[2] if weights else None,
        licence=cfg.license if weights else None,
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        size=cfg.input_size[-1],
        interpolation=cfg.interpolation,
    )


def build(name: str, state: Mapping[str, Tensor] | None = None, classes: int | None = None, **options: Any) -> Any:
    """Build timm's whole model for images of any size, with random weights or those of `state`.

    `state` is under the names of timm or of whom the weights are from: timm renames them while it loads. `classes`, if
    given, is how many the classifier of `state` has (0: it has none). Other options are passed on to timm.

    Raises `InputError` for an unknown name, and `ValueError` for a state dict that does not fit the model.
    """
    model = bare(name)
    if classes is not None:
        options["num_classes"] = classes
    if state is not None:
        # What timm would take off or cut, where the number of classes is not that of its own weights, stays here.
        overlay = {"state_dict": dict(state), "label_offset": 0, "source": None}
        options["pretrained_cfg_overlay"] = overlay | ({} if classes is None else {"num_classes": classes})
    error: Exception | None = None
    for any_size in _ANY_SIZE:
        try:
            with _complete():
                return timm.create_model(model, pretrained=state is not None, **any_size, **options)
        except TypeError as refused:  # an option that the architecture does not know
            error = error or refused
            if not any(option in str(refused) for option in any_size):
                raise
    raise error or AssertionError


def fetch(name: str, weights: str) -> Path:
    """Return the file of timm's weights by a tag, fetched from where timm keeps it, or its copy of an earlier time.

    Raises `InputError` where timm has no such weights, and where they cannot be fetched.
    """
    cfg = timm.get_pretrained_cfg(with_tag(name, weights))
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise InputError(f"weights {weights!r} of {name}: timm has none to fetch; use a file or another model")
    address = cfg.url
    try:
        if not cfg.hf_hub_id:
            return Path(download_cached_file(cfg.url, check_hash=True))
        files = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
        address = f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/{files[0]}"
        for file in files[:-1]:
            with suppress(EntryNotFoundError):
                return Path(hf_hub_download(cfg.hf_hub_id, file))
        return Path(hf_hub_download(cfg.hf_hub_id, files[-1]))
    except Exception as error:  # of the network, the hub or the disk
        reason = " ".join(str(error).split())
        raise InputError(
            f"weights {weights} of {name}: {address} cannot be fetched ({reason:.200}); check the network, or download "
            f"the file elsewhere and name its path"
        ) from None


def backbone(name: str, weights: str | None, output_stride: int) -> TimmBackbone:
    """Build a backbone with random weights (None), those of timm by a tag, or those of a package."""
    architecture = bare(name).partition(".")[0]
    facts = provenance(name, None if weights == PACKAGE else weights)
    path = package_file(architecture) if weights == PACKAGE else None
    trunk = TimmBackbone(name, facts, build(name))
    if output_stride < trunk.stride:
        fault, undilated = no_such_stride(trunk, output_stride), (trunk.pieces, trunk._size)
        try:
            trunk = TimmBackbone(name, facts, build(name, output_stride=output_stride))
        except Exception:  # TypeError, AssertionError, NotImplementedError: each family has its own
            raise fault from None
        if trunk.stride != output_stride:
            raise fault
        trunk.undilated = undilated
    if path is not None:
        trunk.load_library_state(by_order(read_state(path).state, trunk.whole_shapes), str(path))
        trunk.provenance = replace(facts, weights=path.name, licence=PACKAGE_LICENCE)
    elif weights is not None:
        trunk.load_library_state(read_state(fetch(name, weights)).state, f"{weights} of {name}")
    return trunk


def size_fault(name: str, size: int) -> str | None:
    """Return why a backbone does not take images of `size` pixels a side; no record says it, so one is built."""
    return backbone(name, None, 32).size_fault(size)


def whole_model(name: str, weights: str | Path) -> Any:
    """Build the whole model with its classifier."""
    if weights == PACKAGE:
        path, whole = package_file(bare(name).partition(".")[0]), build(name)
        shapes = {key: value.shape for key, value in whole.state_dict().items()}
        load_whole(whole, by_order(read_state(path).state, shapes), str(path))
        return whole
    state = read_state(Path(weights) if is_path(weights) else fetch(name, str(weights))).state
    try:
        return build(name, state)
    except Exception as error:  # what does not fit makes timm raise errors of many kinds
        reason = " ".join(str(error).split())
        raise InputError(f"weights {weights}: not of the whole model {name} ({reason:.160}); name its own") from None


def classifier_name(name: str) -> str:
    """Return the name of the classifier in timm's model."""
    cfg = timm.get_pretrained_cfg(bare(name))
    return cfg.classifier if cfg is not None and isinstance(cfg.classifier, str) else "head"


@contextmanager
def _complete() -> Iterator[None]:
    """Raise `ValueError` where timm says in its log alone that weights are missing or left over."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(("Missing keys", "Unexpected keys")):
                lines.append(record.getMessage())

    logger, listener = logging.getLogger("timm.models._builder"), Listener()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate
    if lines:
        raise ValueError(lines[0])


def _near(architecture: str) -> str:
    near = did_you_mean(architecture, timm.list_models())
    # Timm knows more than a thousand: where none is near, a list would be no help.
    return near if near.startswith("did") else "list its names by timm.list_models()"


def _no_such_tag(architecture: str, tag: str) -> str:
    known = tags(architecture)
    return f"timm has no weights {tag!r} for it; it has {', '.join(known) or 'none: use a file or another model'}"

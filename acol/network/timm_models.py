"""Backbones from timm: any of its models that has a spatial feature map, convolutional or not."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from timm.models._hub import download_cached_file
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.base_backbone import TIMM, Backbone
from acol.network.pieces import Call, run_on_meta
from acol.network.weights import Provenance, State, read_state

# Options by which a transformer takes images of other sizes than that of its training; most models know one or none.
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class TimmBackbone(Backbone):
    """A timm model without the parts after its last feature map. Its stages are attributes of the backbone too.

    Raises `InputError` for a model without a spatial feature map.
    """

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        all_parts = _top_level_names(whole)
        super().__init__(name, provenance, whole)
        # A file may have a classifier where timm builds the model without one.
        self.heads = all_parts - _top_level_names(whole) | {"classifier", "fc", "head"}

    @staticmethod
    def provenance_of(name: str, weights: str | None) -> Provenance:
        """Return the facts about timm's weights with this tag; without weights, those about the architecture."""
        model = name_with_tag(name, weights)
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

    @staticmethod
    def build_whole(name: str, **options: Any) -> Any:
        """Build timm's whole model with random weights, for any image size if it can; `options` are timm's."""
        model, error = name_with_tag(name, None), None
        for any_size in _ANY_SIZE:
            try:
                return timm.create_model(model, **any_size, **options)
            except TypeError as refused:  # the architecture does not know an option
                error = error or refused
                if not any(option in str(refused) for option in any_size):
                    raise
        raise error or AssertionError

    @staticmethod
    def fetch_state(name: str, weights: str) -> State:
        """Return timm's weights with this tag (`fetch`)."""
        return read_state(fetch(name, weights)).state

    @staticmethod
    def renamed(name: str, state: State) -> State:
        """Have timm load a state dict into its whole model, since it then renames the tensors of other versions.

        Raises `ValueError` if timm cannot.
        """
        cfg = timm.get_pretrained_cfg(name_with_tag(name, None))
        rows = state.get(f"{cfg.classifier if cfg else 'head'}.weight")
        classes = 0 if rows is None else len(rows)
        # Timm would cut or drop the classifier of another number of classes than its own; these values prevent that.
        overlay = {"state_dict": dict(state), "label_offset": 0, "source": None, "num_classes": classes}
        options = {"pretrained_cfg_overlay": overlay, "num_classes": classes, "pretrained_strict": True}
        try:
            return TimmBackbone.build_whole(name, pretrained=True, **options).state_dict()
        except Exception as error:  # names that timm does not know can cause an error of any kind
            raise ValueError(f"timm: {' '.join(str(error).split()):.160}") from None

    def _set_trunk(self, whole: Any) -> None:
        self.trunk = whole
        self.prefix = int(getattr(whole, "num_prefix_tokens", None) or 0)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of timm's model, such as a stage."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "trunk":
                raise
            return getattr(super().__getattr__("trunk"), name)

    def last_stage(self, images: Tensor) -> Tensor:
        """Run timm's own `forward_features`."""
        return self.trunk.forward_features(images)

    def dilated(self, output_stride: int) -> Backbone:
        """Have timm build the model with this output stride; a family without this option raises its own error."""
        return TimmBackbone(self.name, self.provenance, self.build_whole(self.name, output_stride=output_stride))

    @property
    def library_module(self) -> nn.Module:
        """The timm model, whose parameters have timm's names."""
        return self.trunk

    def takes(self, size: int, device: str = "meta") -> bool:
        """Return whether the backbone runs on square images of `size` pixels per side, on a `device`."""
        try:
            return run_on_meta(self, size, device).numel() > 0
        except Exception:  # each architecture refuses with its own kind of exception
            return False

    def size_fault(self, size: int) -> str | None:
        """Return why it does not take square images of `size` pixels per side, in a few words; None if it does."""
        own, step = self.provenance.size, self.stride
        # Some transformers fail only when values are computed: their tables of positions do not hold this size.
        if self.takes(size) and (size == own or self.takes(size, "cpu")):
            return None
        near = (size // step * step, (size // step + 1) * step)
        taken = [n for n in near if n and self.takes(n) and self.takes(n, "cpu")]
        return f"{self.name} takes {' or '.join(map(str, taken or [own]))} pixels"

    def measure(self) -> list[Call]:
        """Measure as any backbone, and remove the modules after the feature map, which would be trained for nothing."""
        calls = super().measure()
        called = {call.module for call in calls}
        for name, child in list(self.trunk.named_children()):
            if called.isdisjoint(child.modules()) and any(True for _ in child.parameters()):
                setattr(self.trunk, name, nn.Identity())
                if not self.takes(self.pieces.size):  # the model uses it in another way than by a call
                    setattr(self.trunk, name, child)
        return calls


def name_with_tag(name: str, weights: str | None) -> str:
    """Return timm's name, "ARCHITECTURE.TAG", of the backbone "timm/NAME" with weights of the tag `weights`.

    "DEFAULT" means the tag in NAME, or timm's default tag. Without weights and without a tag in NAME there is no tag.
    Raises `InputError` for a model that timm does not know, and for a tag for which it has no weights.
    """
    architecture, _, tag = name.removeprefix(TIMM).partition(".")
    if architecture not in timm.list_models():
        near = did_you_mean(architecture, timm.list_models())
        # Timm has more than a thousand models: if no name is similar, a list of them does not help.
        near = near if near.startswith("did") else "list its names by timm.list_models()"
        raise InputError(f"backbone {name!r}: unknown to timm; {near}")
    default = timm.get_pretrained_cfg(architecture)
    listed = (model.partition(".") for model in timm.list_pretrained(f"{architecture}.*"))
    tags = sorted(tag for model, _, tag in listed if model == architecture)
    if weights == "DEFAULT":
        tag = tag or (default.tag if default and default.tag in tags else "".join(tags[:1]))
    elif weights:
        tag = weights
    if (tag or weights) and tag not in tags:
        what = f"weights {weights!r} of {name}" if weights else f"backbone {name}"
        known = ", ".join(tags) or "none: use a file or another model"
        raise InputError(f"{what}: timm has no weights {tag!r} for it; it has {known}")
    return f"{architecture}.{tag}" if tag else architecture


def fetch(name: str, weights: str) -> Path:
    """Return the file of timm's weights with this tag: downloaded, or the copy of an earlier download.

    Raises `InputError` if timm has no such weights, or if they cannot be downloaded.
    """
    cfg = timm.get_pretrained_cfg(name_with_tag(name, weights))
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise InputError(f"weights {weights!r} of {name}: timm has none to fetch; use a file or another model")
    address = cfg.url
    try:
        if not cfg.hf_hub_id:
            return Path(download_cached_file(cfg.url, check_hash=True))
        # Repositories hold the weights as safetensors, or in torch's older format.
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


def _top_level_names(module: nn.Module) -> set[str]:
    """Return the names in a module's state dict, each up to its first dot."""
    return {key.split(".")[0] for key in module.state_dict()}

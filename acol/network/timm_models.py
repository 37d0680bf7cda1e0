"""Timm's models: any of them whose features lie on a grid, convolutional or not."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from timm.models._hub import download_cached_file
from torch import Tensor, nn

from acol.errors import InputError, did_you_mean
from acol.network.features import Backbone
from acol.network.pieces import recorded, run_on_meta
from acol.network.weights import Provenance, State, read_state

PREFIX = "timm/"
# With these a transformer takes images of other sizes than the one it was trained on; most know none or one of them.
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class TimmBackbone(Backbone):
    """Timm's model without what comes after its last feature map; its stages are attributes here too.

    Raises `InputError` for a model without a spatial feature map.
    """

    def __init__(self, name: str, provenance: Provenance, whole: Any) -> None:
        everything = _tops(whole)
        super().__init__(name, provenance, whole)
        self._put_out_heads()
        # A model that timm builds without a classifier may come with one.
        self.heads = everything - _tops(whole) | {"classifier", "fc", "head"}

    @staticmethod
    def known(name: str, weights: str | None) -> Provenance:
        """Return what timm's weights by a tag were trained on; without weights, what it gives for the architecture."""
        model = tagged(name, weights)
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
    def whole(name: str, **options: Any) -> Any:
        """Build timm's whole model with random weights, taking any size if it can; other options are timm's."""
        model, error = tagged(name, None), None
        for any_size in _ANY_SIZE:
            try:
                return timm.create_model(model, **any_size, **options)
            except TypeError as refused:  # an option that the architecture does not know
                error = error or refused
                if not any(option in str(refused) for option in any_size):
                    raise
        raise error or AssertionError

    @staticmethod
    def published(name: str, weights: str) -> State:
        """Return timm's weights by a tag, see `fetch`."""
        return read_state(fetch(name, weights)).state

    @staticmethod
    def renamed(name: str, state: State) -> State:
        """Have timm load a state dict into its whole model, by which it renames what others named.

        Raises `ValueError` where timm cannot.
        """
        cfg = timm.get_pretrained_cfg(tagged(name, None))
        rows = state.get(f"{cfg.classifier if cfg else 'head'}.weight")
        classes = 0 if rows is None else len(rows)
        # What timm would take off or cut, where the number of classes is not that of its own weights, stays here.
        overlay = {"state_dict": dict(state), "label_offset": 0, "source": None, "num_classes": classes}
        options = {"pretrained_cfg_overlay": overlay, "num_classes": classes, "pretrained_strict": True}
        try:
            return TimmBackbone.whole(name, pretrained=True, **options).state_dict()
        except Exception as error:  # its renaming raises whatever other names than it knows make it raise
            raise ValueError(f"timm: {' '.join(str(error).split()):.160}") from None

    def _take(self, whole: Any) -> None:
        self.trunk = whole
        self.prefix = int(getattr(whole, "num_prefix_tokens", None) or 0)

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

    def dilated(self, output_stride: int) -> Backbone:
        """Have timm build it once more; raises what its family raises that knows no such option."""
        return TimmBackbone(self.name, self.provenance, self.whole(self.name, output_stride=output_stride))

    @property
    def library_module(self) -> nn.Module:
        """Timm's model, whose parameters have timm's names."""
        return self.trunk

    def takes(self, size: int, device: str = "meta") -> bool:
        """Whether the backbone takes square images of `size` pixels a side, computed on a `device`."""
        try:
            return run_on_meta(self, size, device).numel() > 0
        except Exception:  # each architecture refuses by an exception of its own kind
            return False

    def size_fault(self, size: int) -> str | None:
        """Return in a few words why it does not take images of `size` pixels a side; None where it does."""
        own, step = self.provenance.size, self.stride
        # By shapes alone some transformers take a size whose positions their tables do not hold.
        if self.takes(size) and (size == own or self.takes(size, "cpu")):
            return None
        near = (size // step * step, (size // step + 1) * step)
        taken = [n for n in near if n and self.takes(n) and self.takes(n, "cpu")]
        return f"{self.name} takes {' or '.join(map(str, taken or [own]))} pixels"

    def _put_out_heads(self) -> None:
        """Put out what lies behind the feature map: it would train for nothing, and be saved."""
        called = {call.module for call in recorded(self, self._size)}
        for name, child in list(self.trunk.named_children()):
            if called.isdisjoint(child.modules()) and any(True for _ in child.parameters()):
                setattr(self.trunk, name, nn.Identity())
                if not self.takes(self._size):  # it is used otherwise than by a call
                    setattr(self.trunk, name, child)


def tagged(name: str, weights: str | None) -> str:
    """Return timm's name of the backbone "timm/NAME", with the tag `weights` ("DEFAULT": its own or timm's default).

    Raises `InputError` for a model that timm does not know, and for a tag that it has no weights for.
    """
    architecture, _, tag = name.removeprefix(PREFIX).partition(".")
    if architecture not in timm.list_models():
        near = did_you_mean(architecture, timm.list_models())
        # Timm knows more than a thousand: where none is near, a list would be no help.
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
    """Return the file of timm's weights by a tag, fetched from where timm keeps it, or its copy of an earlier time.

    Raises `InputError` where timm has no such weights, and where they cannot be fetched.
    """
    cfg = timm.get_pretrained_cfg(tagged(name, weights))
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


def _tops(module: nn.Module) -> set[str]:
    """The first parts of the names in a module's state dict."""
    return {key.split(".")[0] for key in module.state_dict()}

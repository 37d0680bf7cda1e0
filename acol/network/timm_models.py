"""Timm's models: any of them whose features lie on a grid, convolutional or not."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from timm.models._hub import download_cached_file
from torch import Tensor

from acol.errors import InputError, did_you_mean
from acol.network.provenance import Provenance

PREFIX = "timm/"
# With these a transformer takes images of other sizes than the one it was trained on; most know none or one of them.
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


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

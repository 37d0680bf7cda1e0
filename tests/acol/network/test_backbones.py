from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
import torchvision
from torchvision.transforms.v2.functional import normalize

from acol.errors import InputError
from acol.files import sha256
from acol.network.backbones import build_backbone, load_weights
from acol.network.torchvision_models import names as backbone_names

SMALL = ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5", "alexnet"]  # with no squeeze-and-excitation
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11_bn",
    "wide_resnet50_2",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_a_feature_map_of_the_channels_and_stride_it_names(name):
    backbone = build_backbone(name).eval()
    with torch.inference_mode():
        features = backbone(torch.randn(1, 3, 256, 256))
        wider = backbone(torch.randn(1, 3, 256, 256 + 5 * backbone.stride))
    assert features.shape[1] == backbone.channels
    assert wider.shape[3] - features.shape[3] == 5


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11_bn", "mobilenet_v3_small"])
def test_features_are_torchvisions(name):
    model = torchvision.models.get_model(name, weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    backbone = build_backbone(name).eval()
    backbone.load_state_dict({key: model.state_dict()[key] for key in backbone.state_dict()})
    seen = []
    model.get_submodule("avgpool" if hasattr(model, "avgpool") else "classifier").register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.inference_mode():
        model(images)
        features = backbone(images)
    if name == "densenet121":  # it pools in a function: the classifier's input is the pooled features
        features = features.mean((2, 3))
    torch.testing.assert_close(features, seen[0])


def test_inception_weights_get_the_range_that_they_were_trained_on():
    model = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False, aux_logits=False)
    model.eval()
    backbone = build_backbone("googlenet").eval()
    backbone.load_state_dict({key: model.state_dict()[key] for key in backbone.state_dict()})
    values = torch.rand(1, 3, 64, 64)
    given = torchvision.models.GoogLeNet_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        expected = model(normalize(values, given.mean, given.std))
        actual = model.fc(backbone(normalize(values, backbone.mean, backbone.std)).mean((2, 3)))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_smaller_stride_keeps_every_weight_and_every_original_position(name, output_stride):
    coarse = build_backbone(name).eval()
    dense = build_backbone(name, output_stride=output_stride).eval()
    dense.load_state_dict(coarse.state_dict())  # the same names and shapes
    images = torch.randn(1, 3, 128, 160)
    step = 32 // output_stride
    with torch.inference_mode():
        torch.testing.assert_close(dense(images)[..., ::step, ::step], coarse(images), rtol=1e-3, atol=1e-4)
    assert (dense.stride, dense.channels) == (output_stride, coarse.channels)


@pytest.mark.parametrize(
    ("name", "stride", "own"),
    [("densenet121", 16, 32), ("googlenet", 16, 32), ("inception_v3", 16, 32), ("squeezenet1_1", 8, 16)],
)
def test_refuses_a_stride_that_the_layers_do_not_allow(name, stride, own):
    with pytest.raises(InputError, match=f"{name}: its layers do not allow output_stride {stride}; use {own}"):
        build_backbone(name, output_stride=stride)


def test_a_network_of_smaller_stride_keeps_it():
    assert build_backbone("squeezenet1_1", output_stride=32).stride == 16


@pytest.mark.parametrize(
    ("name", "problem"),
    [("resnet19", "did you mean resnet18"), ("vit_b_16", "torchvision's transformer"), ("", "unknown")],
)
def test_refuses_what_is_no_cnn(name, problem):
    with pytest.raises(InputError, match=problem):
        build_backbone(name)


def test_refuses_other_strides():
    with pytest.raises(InputError, match="choose 32, 16 or 8"):
        build_backbone("resnet18", output_stride=4)


def test_lists_only_what_it_can_build():
    names = backbone_names()
    assert {"resnet18", "resnet152", "vgg16", "convnext_large", "regnet_x_32gf"} <= set(names)
    assert not any(name.startswith(("vit", "swin", "maxvit")) for name in names)


class TestWeights:
    @pytest.fixture(scope="class")
    def resnet(self):
        return torchvision.models.resnet18(num_classes=7)

    def test_a_whole_models_file_fits_the_trunk(self, resnet, tmp_path):
        torch.save(resnet.state_dict(), tmp_path / "w.pth")
        backbone = build_backbone("resnet18", weights=tmp_path / "w.pth", output_stride=8)
        for key, value in backbone.state_dict().items():
            assert torch.equal(value, resnet.state_dict()[key])

    @pytest.mark.parametrize("architecture", ["resnet34", "resnet50", "vgg11"])
    def test_refuses_another_architectures(self, resnet, tmp_path, architecture):
        torch.save(resnet.state_dict(), tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"w\.pth") as error:
            build_backbone(architecture, weights=tmp_path / "w.pth")
        assert architecture in str(error.value)

    def test_a_smaller_networks_weights_do_not_pass_for_a_larger_ones(self, tmp_path):
        torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "w.pth")
        with pytest.raises(InputError, match="of another architecture than resnet18"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
    def test_refuses_what_is_no_state_dict(self, tmp_path, content):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(InputError, match=r"w\.pth: not a PyTorch state dict"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

    def test_refuses_code(self, resnet, tmp_path):
        torch.save(resnet, tmp_path / "w.pth")  # a pickled module
        with pytest.raises(InputError, match=r"w\.pth: not a PyTorch state dict"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

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
    def test_refuses_values_that_are_no_finite_numbers(self, resnet, tmp_path, value):
        torch.save(resnet.state_dict() | {"bn1.weight": value}, tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"w\.pth: bn1\.weight holds values that are no finite numbers; replace"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

    def test_refuses_keys_that_are_no_names(self, tmp_path):
        torch.save({1: torch.zeros(1)}, tmp_path / "w.pth")
        with pytest.raises(InputError, match="holds no plain state dict"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

    def test_finds_a_flipped_bit(self, resnet, tmp_path):
        torch.save(resnet.state_dict(), tmp_path / "w.pth")
        content = bytearray((tmp_path / "w.pth").read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(InputError, match=r"w\.pth: not a PyTorch state dict \(the checksum of"):
            build_backbone("resnet18", weights=tmp_path / "w.pth")

    def test_names_a_missing_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            build_backbone("resnet18", weights=tmp_path / "none.pth")

    def test_lists_the_weights_that_there_are(self):
        with pytest.raises(InputError, match="resnet18 has IMAGENET1K_V1, DEFAULT; choose of these"):
            build_backbone("resnet18", weights="IMAGENET1K_V9")

    @pytest.fixture
    def registry(self, tmp_path, monkeypatch):
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

    def test_fetches_and_verifies_by_name(self, registry, tmp_path):
        state = torch.load(tmp_path / "w.pth")
        name = f"resnet18-{sha256(tmp_path / 'w.pth')[:8]}.pth"
        registry(name)
        backbone = build_backbone("resnet18", weights="IMAGENET1K_V1")
        assert (tmp_path / "hub" / "checkpoints" / name).is_file()
        assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
        assert backbone.provenance.weights == "IMAGENET1K_V1"

    def test_refuses_a_wrong_checksum(self, registry):
        registry("resnet18-00000000.pth")
        with pytest.raises(InputError, match=r"cannot be fetched.*hash"):
            build_backbone("resnet18", weights="IMAGENET1K_V1")

    def test_says_what_to_do_without_a_network(self, registry, tmp_path):
        registry("resnet18-11111111.pth")
        (tmp_path / "resnet18-11111111.pth").unlink()
        with pytest.raises(InputError, match=r"cannot be fetched.*name its path"):
            load_weights(build_backbone("resnet18"), "IMAGENET1K_V1")

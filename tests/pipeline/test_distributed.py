"""One training in two processes, as torchrun starts them, against the same in one."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from timm.layers import BatchNormAct2d
from torch import nn

from acol.data.manifest import write_manifest
from acol.ingest.folder import read_folder
from acol.network.distributed import connected
from acol.network.weights import read_tensors
from pipeline import evaluate
from pipeline.places import MANIFEST
from tests.faults import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    tiny.write_images(folder)
    return folder


# No batch norm, whose tiny batches here would make much of a rounding error.
BACKBONE = "squeezenet1_1"
NORMED = "normed.pt"  # what two processes compute with batch norms


def start(*command, cwd=ROOT):
    """Start two processes of a command."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launch, *map(str, command)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def pair(images, tmp_path_factory):
    """The folders that one and two processes left, and what the two printed."""
    from tests.conftest import free_port  # the two processes, which import this file, need no MLflow

    folders = [tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")]
    tiny.fit(images, folders[0], BACKBONE)
    process = start(__file__, images, folders[1], free_port())
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return *folders, output


def test_two_processes_give_the_losses_of_one(pair):
    one, two = (pd.read_csv(folder / "model" / "history.csv") for folder in pair[:2])
    assert len(one) == 3
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)


def test_and_its_weights(pair):
    one, two = (read_tensors(folder / "model" / "best.pt")["weights"] for folder in pair[:2])
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_the_first_alone_speaks_and_writes(pair):
    _, two, output = pair
    assert [line.split(":")[0] for line in output.splitlines()] == [f"{BACKBONE}-pn-0.6 epoch {n}" for n in (1, 2, 3)]
    assert not list((two / "runs").glob("*"))


def test_two_processes_evaluate_to_the_bits_of_one(images, pair, tmp_path, monkeypatch, capsys):
    manifest = read_folder(images, val_fraction=0.2, test_fraction=0.2, seed=0, unreadable="stop").manifest
    for root in (tmp_path / "1", tmp_path / "2"):
        (root / "models").mkdir(parents=True)
        (root / "models" / f"{BACKBONE}-pn-0.6").symlink_to(pair[0] / "model")
        write_manifest(root / MANIFEST, manifest)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["backbones"][BACKBONE] = {"source": "torchvision", "weights": "DEFAULT"}
        params["data"] |= {"source": "folder", "path": str(images)}
        params["evaluate"] |= {"scales": [1, 1.5], "batch_size": 1, "faithfulness": 2, "bootstrap": 100}
        (root / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path / "1")
    monkeypatch.setattr("sys.argv", ["evaluate", BACKBONE, "pn-0.6"])
    evaluate.main()
    process = start("-m", "pipeline.evaluate", BACKBONE, "pn-0.6", cwd=tmp_path / "2")
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert output.count("Accuracy") == capsys.readouterr().out.count("Accuracy") == 1
    for name in ("metrics.json", "details.json", "images.csv", "maps.npz"):
        one, two = (tmp_path / n / "results" / f"{BACKBONE}-pn-0.6" / name for n in "12")
        assert one.read_bytes() == two.read_bytes(), name


def normed():
    """A network with batch norms, its input and the gradient of its output, in double precision."""
    torch.manual_seed(0)
    first = BatchNormAct2d(4, act_layer=nn.SiLU)  # timm's, with the activation in it
    net = nn.Sequential(nn.Conv2d(3, 4, 3), first, nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    return net.double(), torch.randn(6, 3, 8, 8).double(), torch.randn(6, 4, 4, 4).double()


def test_batch_norms_see_the_whole_batch(pair):
    net, images, gradient = normed()
    outputs = net(images)
    (outputs * gradient).sum().backward()
    two = torch.load(pair[1] / NORMED)
    torch.testing.assert_close(two["outputs"], outputs[:3].detach())
    torch.testing.assert_close(two["gradients"], [value.grad for value in net.parameters()])
    torch.testing.assert_close(two["state"], net.state_dict())


if __name__ == "__main__":  # each of the two processes
    photos, folder = map(Path, sys.argv[1:3])
    tiny.fit(photos, folder, BACKBONE)
    # They meet once more, at a port of their own: torchrun's place to meet serves only once.
    os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "False", "MASTER_PORT": sys.argv[3]}
    cpu = torch.device("cpu")
    with connected(cpu) as world:
        net, images, gradient = normed()
        share = world.share(len(images))
        replica = world.replicate(net, cpu)
        outputs = replica(images[share])
        # Gradients are averaged over the processes, as of a loss that is a mean.
        (outputs * gradient[share] * world.size).sum().backward()
        if world.first:
            found = {"outputs": outputs.detach(), "gradients": [value.grad for value in net.parameters()]}
            torch.save(found | {"state": net.state_dict()}, folder / NORMED)

"""One cell's training as a TrainJob of Kubeflow Trainer 2.2 or later (the first with `runtimePatches`)."""

import hashlib
import re
from typing import Any

from pipeline.params import Cell

WORKDIR = "/project"  # of the image
_LONGEST = 40  # characters of a job's name: a pod's name adds the numbers of its node, and may have 63


def train_job(cell: Cell, image: str, nodes: int, processes: int, gpus: int, claim: str) -> dict[str, Any]:
    """Return the TrainJob that trains a cell with `torchrun`, with `processes` on each of `nodes`.

    The claim holds the project's folder with its split and pretrained weights. It is mounted at the folder of the code
    in the image. The model is written there, and also the state from which a restarted job continues.
    """
    name = re.sub("[^a-z0-9]+", "-", f"acol-{cell.name}".lower())
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9]}-{hashlib.sha256(cell.name.encode()).hexdigest()[:8]}"
    mounted: dict[str, Any] = {
        "containers": [{"name": "node", "volumeMounts": [{"name": "project", "mountPath": WORKDIR}]}],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": claim}}],
    }
    replicated = {"name": "node", "template": {"spec": {"template": {"spec": mounted}}}}
    resources = {"resourcesPerNode": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "trainer": {
                "image": image,
                "numNodes": nodes,
                "numProcPerNode": processes,
                "command": ["torchrun", "-m", "pipeline.train", cell.backbone, str(cell.head)],
                **resources,
            },
            "runtimePatches": [
                {
                    "manager": "acol.dev/project",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}},
                }
            ],
        },
    }

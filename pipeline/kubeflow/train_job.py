"""One cell's training as a TrainJob of Kubeflow Trainer 2.2 or later (the first with `runtimePatches`)."""

from typing import Any

from pipeline.params import Cell

WORKDIR = "/project"  # of the image


def train_job(cell: Cell, image: str, nodes: int, processes: int, gpus: int, claim: str) -> dict[str, Any]:
    """Return the TrainJob that trains a cell by `torchrun`, `processes` on each of `nodes`.

    The claim holds the project's folder with its split and pretrained weights, and is mounted at the code's folder of
    the image. The model is written there, and so is the state from which a restarted job continues.
    """
    mounted: dict[str, Any] = {
        "containers": [{"name": "node", "volumeMounts": [{"name": "project", "mountPath": WORKDIR}]}],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": claim}}],
    }
    replicated = {"name": "node", "template": {"spec": {"template": {"spec": mounted}}}}
    resources = {"resourcesPerNode": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": f"acol-{cell.name}".lower().replace("_", "-").replace(".", "-")},
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

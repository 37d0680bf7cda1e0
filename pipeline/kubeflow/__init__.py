"""The graph of dvc.yaml for Kubeflow Pipelines, and one cell's training for Kubeflow Trainer."""

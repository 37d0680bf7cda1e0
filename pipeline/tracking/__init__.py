"""The MLflow side: the store, the runs in it, the packaged model and the registry."""

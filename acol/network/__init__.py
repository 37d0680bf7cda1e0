"""The network: backbones and their weights, the ACoL model on them, and the checkpoint that keeps it."""

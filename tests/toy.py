"""A backbone that learns and costs nothing, for what is about a training and not about a network."""

from torch import nn

from acol import ACoL, Recipe


def toy_model(recipe: str | Recipe, classes: int) -> ACoL:
    """Build an ACoL on three layers, of stride 16, with a batch norm."""
    model = ACoL("squeezenet1_1", recipe, classes, output_stride=16)
    model.backbone.features = nn.Sequential(nn.Conv2d(3, 16, 16, stride=16), nn.BatchNorm2d(16), nn.ReLU())
    model.backbone.measure()
    model.classifiers = nn.ModuleList(nn.Conv2d(16, classes, 1) for _ in model.classifiers)
    return model

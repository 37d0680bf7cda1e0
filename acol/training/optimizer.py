"""The optimizer, and the learning rate over the steps."""

from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from acol.network.model import ACoL
from acol.training.settings import TrainingSettings


def build_optimizer(model: ACoL, settings: TrainingSettings) -> Optimizer:
    """Return SGD with Nesterov momentum, or AdamW, over the parameters that are trained.

    Four groups: the trunk's and the classifiers', each divided into matrices, which decay, and vectors.
    """
    groups = []
    for module, lr in ((model.backbone, settings.lr), (model.classifiers, settings.classifier_lr)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        # Norm scales and biases are not decayed: that only changes the features' scale.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
    # Fused: one kernel goes over all parameters, where the plain form starts several for each of them.
    if settings.optimizer == "sgd":
        return SGD(groups, momentum=settings.momentum, nesterov=settings.momentum > 0, fused=True)
    return AdamW(groups, fused=True)


def build_schedule(optimizer: Optimizer, settings: TrainingSettings, steps_per_epoch: int) -> LRScheduler:
    """Return the one-cycle learning rate over all steps (arXiv 1708.07120), to be stepped after each training step."""
    total = settings.epochs * steps_per_epoch + 1  # the schedule is stepped after the last training step too
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total,
        # OneCycleLR divides by zero for a rise that ends with the first step.
        pct_start=settings.warmup if settings.warmup * total != 1 else 0.0,
        cycle_momentum=False,
    )

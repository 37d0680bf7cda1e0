"""The optimizer and the schedule of the learning rate."""

from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from acol.network.model import ACoL
from acol.training.settings import TrainingSettings


def build_optimizer(model: ACoL, settings: TrainingSettings) -> Optimizer:
    """Return SGD with Nesterov momentum, or AdamW, for the parameters that are trained.

    There are four groups: those of the backbone and of the classifiers, each divided into weights, which decay, and
    scales and biases, which do not.
    """
    groups = []
    for module, lr in ((model.backbone, settings.lr), (model.classifiers, settings.classifier_lr)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        # Decay of a norm's scale or of a bias would only change the scale of the features.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
    # Fused: one kernel updates all parameters; the plain form starts several kernels for each of them.
    if settings.optimizer == "sgd":
        return SGD(groups, momentum=settings.momentum, nesterov=settings.momentum > 0, fused=True)
    return AdamW(groups, fused=True)


def build_schedule(optimizer: Optimizer, settings: TrainingSettings, steps_per_epoch: int) -> LRScheduler:
    """Return the one-cycle schedule over all steps (arXiv 1708.07120); call its `step` after each training step."""
    total = settings.epochs * steps_per_epoch + 1  # one more, since it is also stepped after the last training step
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total,
        # OneCycleLR divides by zero if the rise ends with the first step.
        pct_start=settings.warmup if settings.warmup * total != 1 else 0.0,
        cycle_momentum=False,
    )

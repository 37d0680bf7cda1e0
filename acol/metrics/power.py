"""How much it would take to see a difference: a power estimate from the standard error of the present one."""

from scipy.special import ndtri  # the inverse of the normal distribution

from acol.metrics.comparison import Difference


def smallest_difference(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that as many images and trainings would show as significant with `power`."""
    return float(ndtri((1 + level) / 2) + ndtri(power)) * found.error


def times_needed(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return how many times the images, and trainings if several were compared, a difference of this size needs.

    The error falls with the square root of their number. Infinite for a difference of 0.
    """
    if found.difference == 0:
        return float("inf")
    return (smallest_difference(found, power, level) / abs(found.difference)) ** 2

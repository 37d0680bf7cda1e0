"""How much it would take to see a difference: a power estimate from the standard error of the present one."""

from scipy.special import ndtri  # the inverse of the normal distribution

from acol.metrics.comparison import Difference


def smallest_difference(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that as many images and trainings would show as significant with `power`.

    Where each of N images adds -1, 0 or 1, a difference of d has a variance of at least d (1 - d) / N, however well the
    images seen agree.
    """
    z = float(ndtri((1 + level) / 2) + ndtri(power))
    return max(z * found.error, z * z / (found.whole + z * z) if found.whole else 0.0)


def times_needed(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return how many times the images, and trainings if several were compared, a difference of this size needs.

    The error falls with the square root of their number. Infinite for a difference of 0.
    """
    z, size = float(ndtri((1 + level) / 2) + ndtri(power)), abs(found.difference)
    if size == 0:
        return float("inf")
    return max((z * found.error / size) ** 2, z * z * (1 / size - 1) / found.whole if found.whole else 0.0)

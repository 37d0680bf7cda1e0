"""How much it would take to see a difference: a power estimate from the standard error of the present one."""

from scipy.special import ndtri  # the inverse of the normal distribution

from acol.metrics.comparison import Difference


def smallest_difference(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that as many images and trainings would show as significant with `power`.

    `found` is what they showed; `power` in (0, 1) is the wanted probability, `level` that of the interval.

    Where each of N images adds -1, 0 or 1, a difference of d has a variance of at least d (1 - d) / N, however well the
    images seen agree.

    >>> found = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> round(smallest_difference(found), 2)
    0.14
    """
    z = float(ndtri((1 + level) / 2) + ndtri(power))
    return max(z * found.error, z * z / (found.whole + z * z) if found.whole else 0.0)


def times_needed(found: Difference, power: float = 0.8, level: float = 0.95) -> float:
    """Return how many times the images, and trainings if several were compared, a difference of this size needs.

    The error falls with the square root of their number. Infinite for a difference of 0. Arguments are those of
    `smallest_difference`.

    >>> found = compare([MeanScore(np.tile([1, 1], 50))], [MeanScore(np.tile([1, 0], 50))])
    >>> times_needed(found) < 1  # fewer images were enough
    True
    """
    z, size = float(ndtri((1 + level) / 2) + ndtri(power)), abs(found.difference)
    if size == 0:
        return float("inf")
    return max((z * found.error / size) ** 2, z * z * (1 / size - 1) / found.whole if found.whole else 0.0)

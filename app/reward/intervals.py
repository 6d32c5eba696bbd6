"""How far a share that was counted may lie from the true one."""

from math import sqrt

Z_95 = 1.959964


def wilson(share: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` trials, (low, high), both from 0 to 1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; unlike
    share ± z·error it stays honest near 0 and 1 and for few trials. Without a trial it is (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    middle = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    below = 1 + z * z / n
    return max(0.0, (middle - spread) / below), min(1.0, (middle + spread) / below)

"""Which frames or slices to take when there are too many: evenly spaced, always the same."""

from __future__ import annotations


def sample_indices(n: int, cap: int) -> list[int]:
    """Take at most ``cap`` of ``n`` things: the centres of ``cap`` bins of equal width.

    The choice is symmetric (reading the things backwards chooses the same ones; with an odd
    ``cap`` and an even ``n`` the middle one is the lower of two), so a volume stored head first
    or feet first gives the same slices. Neither end is preferred: the outermost slices are
    usually empty.

    Args:
        n: how many there are, 0 or more.
        cap: how many to take at most, 1 or more.

    Returns:
        Strictly ascending indices, ``min(n, cap)`` of them.

    Raises:
        ValueError: ``n`` is negative or ``cap`` below one.
    """
    if n < 0 or cap < 1:
        raise ValueError(f"cannot take at most {cap} of {n}")
    if n <= cap:
        return list(range(n))
    # Bin i spans i*n/cap .. (i+1)*n/cap. A centre between two indices goes outwards, and the
    # upper half mirrors the lower, hence the symmetry.
    lower = [((2 * i + 1) * n - 1) // (2 * cap) for i in range((cap + 1) // 2)]
    upper = [n - 1 - index for index in lower[: cap // 2]]
    return lower + upper[::-1]

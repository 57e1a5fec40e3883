"""How often each may ask: one token bucket each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable


class TokenBuckets:
    """A bucket of tokens for everyone who asks; it starts full and fills at a steady rate.

    In any t seconds nobody gets more than ``burst + rate * t``, while fewer than ``capacity`` ask.
    Beyond that the bucket that was not asked for longest is forgotten, so that memory is bounded,
    and starts full when it is asked for again. Safe to share between threads.

    Args:
        rate: tokens a second.
        burst: tokens that a full bucket holds.
        clock: seconds that only grow, such as `time.monotonic`.
        capacity: buckets that are kept.

    Raises:
        ValueError: one of these is not above 0.
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float], capacity: int = 10_000
    ) -> None:
        if not (rate > 0 and burst > 0 and capacity > 0):
            raise ValueError("rate, burst and capacity of a limit are above 0")
        self._rate, self._burst, self._capacity = rate, burst, capacity
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, who: str, tokens: float = 1.0) -> float:
        """Take tokens if there are so many.

        Returns:
            0 if they were taken; else the seconds after which they will be there, and nothing is
            taken.

        Raises:
            ValueError: a full bucket does not hold so many.
        """
        if not 0 < tokens <= self._burst:
            raise ValueError(f"a bucket holds {self._burst:g} tokens, not {tokens:g}")
        with self._lock:
            at = self._clock()
            held, since = self._buckets.pop(who, (self._burst, at))
            at = max(at, since)
            held = min(self._burst, held + (at - since) * self._rate)
            wait = max(0.0, (tokens - held) / self._rate)
            self._buckets[who] = (held if wait else held - tokens, at)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
            return wait

"""Medians with their spread, and measuring in turns, so that other load affects all ways equally."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_LEAST_FOR_QUARTILES = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of repeats, and their quartiles when there are at least two."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Compute median and quartiles.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.5, high=2.5, repeats=3)

        Raises:
            ValueError: there are no samples.
        """
        if not samples:
            raise ValueError("nothing was measured")
        if len(samples) < _LEAST_FOR_QUARTILES:
            return cls(samples[0], samples[0], samples[0], 1)
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, len(samples))


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the quantile at `share` (0 to 1) of the samples.

    >>> quantile([5.0, 1.0, 2.0, 3.0, 4.0], 0.5)
    3.0
    """
    ordered = sorted(samples)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def in_turns(
    ways: Mapping[str, Callable[[], float]], rounds: int, tick: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Measure each way once a round. Each round starts with another way. Call `tick` after each measurement."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for round_ in range(rounds):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            samples[name].append(ways[name]())
            tick()
    return samples


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Return the spread of the ratios of samples from the same round.

    >>> ratios([2.0, 4.0], [1.0, 2.0]).median
    2.0
    """
    return Spread.of([one / other for one, other in zip(over, under, strict=True)])

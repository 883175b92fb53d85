"""The discipline against tuning to the test: each part's worth, and what is chosen without a set. Pure.

Each set has one value for each question. All sets together is the mean of the sets: a large set of easy questions
counts no more than a small one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from infra.measuring import interval_of_balanced_difference, interval_of_difference

# A part must not lower the estimate on this many sets.
SETS_HELPED = 3

Values = Mapping[str, Sequence[float]]  # one value for each question, by set
Difference = tuple[float, float, float]  # the mean, and its 95% interval


@dataclass(frozen=True, slots=True)
class Worth:
    """The gain by one part of the ranking: on each set, and on all sets together."""

    by_set: Mapping[str, Difference]
    together: Difference

    @property
    def carries_over(self) -> bool:
        """Whether the part stays.

        The interval over all sets lies above 0, the estimate is at or above 0 on three sets, and no set's interval
        lies wholly below 0.
        """
        above = self.together[1] > 0
        helped = sum(estimate >= 0 for estimate, _, _ in self.by_set.values())
        harmed = any(high < 0 for _, _, high in self.by_set.values())
        return above and helped >= SETS_HELPED and not harmed


def worth(whole: Values, without: Values) -> Worth:
    """Return the gain of the whole ranking over the ranking without a part, question by question."""
    by_set = {name: interval_of_difference(values, without[name]) for name, values in whole.items()}
    return Worth(
        by_set, interval_of_balanced_difference([(values, without[name]) for name, values in whole.items()])
    )


def chosen_without(ways: Mapping[str, Values]) -> dict[str, str]:
    """Return for each set the way that is best on all other sets, by the mean of their means.

    Of equal ways the first wins.
    """
    means = {way: {name: fmean(values) for name, values in by_set.items()} for way, by_set in ways.items()}
    names = next(iter(means.values()))
    return {
        left_out: max(means, key=lambda way: fmean(means[way][name] for name in names if name != left_out))
        for left_out in names
    }

"""A device that makes one pass after another while the next is prepared: when it will be free, and how long each pass had it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Timeline:
    """Passes in the order in which they were taken; at most two are in hand. Times are seconds of a clock that the caller reads."""

    ended: float = 0.0  # when the last pass did
    hand: list[tuple[float, float]] = field(default_factory=list)  # (taken, seconds that it is expected to take)

    def free(self, now: float) -> float:
        """When what is in hand will be done, as far as is known."""
        if not self.hand:
            return now
        begun = max(self.ended, self.hand[0][0])
        return max(now, begun + sum(expected for _, expected in self.hand))

    def begin(self, taken: float, expected: float) -> None:
        self.hand.append((taken, expected))

    def end(self, taken: float, now: float) -> float:
        """The pass that was taken then is done: seconds for which it had the device. While another was computed it waited for that."""
        self.drop(taken)
        seconds = max(now - max(taken, self.ended), 0.0)  # two that end at once may be told of in the other order
        self.ended = max(self.ended, now)
        return seconds

    def drop(self, taken: float) -> None:
        """It never had the device: nothing was left of it to compute."""
        self.hand = [each for each in self.hand if each[0] != taken]

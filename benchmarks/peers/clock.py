"""Times of epochs, validation apart, and the line in which every script says what it found."""

import json
import time


class Clock:
    """`start()` before an epoch's training, `stop(pictures)` after it."""

    def __init__(self) -> None:
        self.rates: list[tuple[int, float]] = []
        self.began = 0.0

    def start(self) -> None:
        self.began = time.perf_counter()

    def stop(self, pictures: int) -> None:
        self.rates.append((pictures, time.perf_counter() - self.began))

    def say(self, **more: object) -> None:
        """Pictures a second from the second epoch on, as one line of JSON."""
        counted = self.rates[1:] or self.rates
        rate = sum(pictures for pictures, _ in counted) / sum(seconds for _, seconds in counted)
        print(json.dumps({"pictures_per_second": rate, "epochs": len(self.rates), **more}), flush=True)

"""Ends a text at the first stop text, which may come in deltas."""

from collections.abc import Sequence


class StopFilter:
    """Takes a text piece by piece and gives it back up to the first of `stops`.

    What may be the beginning of a stop text is held back. `stopped`: a stop text was found.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stopped = False
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, delta: str) -> str:
        """What of the text is certain after this delta; nothing after the stop."""
        if self.stopped:
            return ""
        text = self._held + delta
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text that begins the stop text."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)

"""What of a corpus does not come into an index, by reason: files left out, and records rejected."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LINK = "link"
INDEX = "index of corpusmill"
UNREADABLE = "unreadable"
ODD_EXTENSION = "odd extension"
MORE_EXTENSIONS = "other extension"
MOST_EXTENSIONS = 20  # that are counted one by one
EXAMPLES = 100

_PLURALS = {
    LINK: "links", INDEX: "indexes of corpusmill", ODD_EXTENSION: "odd extensions",
    MORE_EXTENSIONS: "other extensions", "FIFO": "FIFOs", "socket": "sockets", "device": "devices",
    "odd name": "odd names", "other": "others",
}  # fmt: skip


@dataclass
class LeftOut:
    """What a listing leaves out, in bounded memory.

    `counts`: by reason, a word or two each; `first`: (URL, reason in full) of the first ones.
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, url: str, reason: str, label: str) -> None:
        """Count one. An extension is a label of its own only where it looks like one: files name it."""
        if label.startswith("."):
            label = self._extension(label[1:].lower())
        self.counts[label] = self.counts.get(label, 0) + 1
        if len(self.first) < EXAMPLES:
            self.first.append((url, reason))

    def _extension(self, extension: str) -> str:
        if not extension.isalnum() or len(extension) > 16:
            return ODD_EXTENSION
        label = f".{extension}"
        known = sum(name.startswith(".") for name in self.counts)
        return label if label in self.counts or known < MOST_EXTENSIONS else MORE_EXTENSIONS


def describe_left_out(counts: Mapping[str, int]) -> str:
    """The counts for people, most first: "212 .docx, 3 links, 1 no extension"; empty where there are none."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {_PLURALS.get(label, label) if n != 1 else label}" for label, n in ordered)


def describe_rejects(reasons: Mapping[str, int]) -> str:
    """Rejects by kind of reason, for people."""
    return "; ".join(f"{count:,} times {kind}" for kind, count in reasons.items())

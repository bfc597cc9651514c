"""Files of a shard's postings: their names, and the header that says what they hold.

| file | values | what it is |
| --- | --- | --- |
| postings.json | | numbers of passages, tokens; type and length of every file; a checksum of itself |
| hashes.u8 | terms | sorted hashes of the shard's terms |
| ends.u8 | terms | where a term's postings end; they begin where those of the term before it end |
| rows.bin | postings | passages of a term, rising |
| counts.bin | postings | how often the term occurs there, in the smallest type that holds every count |
| lengths.bin | passages | terms of a passage, each as often as it occurs |
"""

from retrieval.lexical.integer_files import ArrayEntry
from retrieval.storage import Count, Shape

POSTINGS_HEADER = "postings.json"
FILES = {
    "hashes": "hashes.u8", "ends": "ends.u8", "rows": "rows.bin", "counts": "counts.bin",
    "lengths": "lengths.bin",
}  # fmt: skip


class PostingsHeader(Shape):
    """Content of postings.json."""

    passages: Count
    tokens: Count
    hashes: ArrayEntry
    ends: ArrayEntry
    rows: ArrayEntry
    counts: ArrayEntry
    lengths: ArrayEntry

"""The object at the root of an index that names the folder as one: `corpusmill.json`.

Builds write into no folder that holds other things and has none, and read no folder that has one as corpus.
"""

import json
import time

from retrieval.errors import IndexDamaged
from retrieval.storage.strict_json import parse_json

MARKER = "corpusmill.json"
WHAT = "corpusmill index"
MOST_MARKER_BYTES = 64 << 10  # whatever is longer is none


def new_marker(format_: int, by: str) -> bytes:
    """The marker of a new index: of which format it is, when it was begun, and by which version of what."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"what": WHAT, "format": format_, "created": made, "by": by}, indent=1).encode()


def is_marker(data: bytes) -> bool:
    """Whether the content of an object of that name is a marker."""
    try:
        value = parse_json(data, MARKER, most_bytes=MOST_MARKER_BYTES)
    except IndexDamaged:
        return False
    return isinstance(value, dict) and value.get("what") == WHAT

"""Where an index lies: a folder on a local disk or an object store, its keys, and checked local copies.

store = Store("s3://bucket/index")
record = store.put("ledger/000001.json", data)
path = store.local(record, default_cache(store))
"""

from retrieval.storage.copies import REPAIR, damaged_copy, default_cache, sha256_of, sweep_cache
from retrieval.storage.errors import storage_errors
from retrieval.storage.keys import FileRecord, is_written_by_us
from retrieval.storage.index_marker import KEY as MARKER
from retrieval.storage.index_marker import MOST_BYTES as MOST_MARKER_BYTES
from retrieval.storage.index_marker import is_marker, marker
from retrieval.storage.schemes import SCHEMES, check_scheme
from retrieval.storage.store import TEMPORARY, Store
from retrieval.storage.writes import LocalWrite

__all__ = [
    "MARKER", "MOST_MARKER_BYTES", "REPAIR", "SCHEMES", "TEMPORARY", "FileRecord", "LocalWrite", "Store",
    "check_scheme", "damaged_copy", "default_cache", "is_marker", "is_written_by_us", "marker", "sha256_of",
    "storage_errors", "sweep_cache",
]  # fmt: skip

"""Sources: input files, cut into slices, read as documents and rejects."""

from pipelines.sources.documents import Document, Reject
from pipelines.sources.files.listing import InputFile, Listing, list_files
from pipelines.sources.metadata import arrow_type, convert, infer_schema
from pipelines.sources.slice_reader import read
from pipelines.sources.slices import Slice, cut

__all__ = [
    "Document", "InputFile", "Listing", "Reject", "Slice",
    "arrow_type", "convert", "cut", "infer_schema", "list_files", "read",
]  # fmt: skip

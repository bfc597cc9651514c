"""Plain text."""

from pipelines.extraction import Extracted
from pipelines.sources.document_format import Reading
from pipelines.sources.whole_files import WholeFileFormat, text_of


class Text(WholeFileFormat):
    name = "text"
    summary = "a file is a document"
    suffixes = ("txt", "text")
    code = 2

    def extract(self, data: bytes, reading: Reading) -> Extracted:
        return Extracted("", *text_of(data, reading))


FORMAT = Text()

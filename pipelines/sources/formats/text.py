"""Plain text."""

from pipelines.extraction import decoded
from pipelines.sources.document_format import Reading
from pipelines.sources.whole_files import WholeFileFormat


class Text(WholeFileFormat):
    name = "text"
    summary = "a file is a document"
    suffixes = ("txt", "text")

    def extract(self, data: bytes, reading: Reading) -> tuple[str, str]:
        return "", decoded(data)


FORMAT = Text()

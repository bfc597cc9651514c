"""HTML pages."""

from pipelines.extraction import declared_in
from pipelines.sources.document_format import Reading
from pipelines.sources.whole_files import WholeFileFormat, text_of


class Html(WholeFileFormat):
    name = "html"
    summary = "a page is a document"
    suffixes = ("html", "htm", "xhtml")
    parser = "pipelines.extraction.html"
    code = 2

    def prepared(self, data: bytes, reading: Reading) -> tuple[bytes, tuple[str, ...]]:
        """The page as UTF-8."""
        text, notes = text_of(data, reading, declared_in(data))
        return text.encode("utf-8", "replace"), notes


FORMAT = Html()

"""PDF files with text."""

from pipelines.sources.whole_files import WholeFileFormat


class Pdf(WholeFileFormat):
    name = "pdf"
    summary = "a file is a document; scanned pages have no text"
    suffixes = ("pdf",)
    parser = "pipelines.extraction.pdf"
    code = 2


FORMAT = Pdf()

"""HTML pages."""

from pipelines.sources.whole_files import WholeFileFormat


class Html(WholeFileFormat):
    name = "html"
    summary = "a page is a document"
    suffixes = ("html", "htm", "xhtml")
    parser = "pipelines.extraction.html"


FORMAT = Html()

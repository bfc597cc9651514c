"""Values apart by tabs."""

from pipelines.sources.delimited import DelimitedFormat


class Tsv(DelimitedFormat):
    name = "tsv"
    summary = "CSV with tabs"
    suffixes = ("tsv", "tab")
    delimiter = "\t"


FORMAT = Tsv()

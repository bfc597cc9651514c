"""Values apart by commas."""

from pipelines.sources.delimited import DelimitedFormat


class Csv(DelimitedFormat):
    name = "csv"
    summary = "rows below a header"
    suffixes = ("csv",)
    code = 2


FORMAT = Csv()

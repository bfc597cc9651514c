"""Values apart by tabs. It is not CSV: quotes are characters, and a line is a row."""

from typing import Literal

from pydantic import Field

from pipelines.sources.delimited import DelimitedFormat, DelimitedSettings, Delimiter


class TsvSettings(DelimitedSettings):
    """How the rows of a table with tabs are read."""

    delimiter: Delimiter = Field(
        "tab",
        description="What stands between two values: one character, tab, or auto.",
        validate_default=True,
    )
    quoting: Literal["csv", "none", "auto"] = Field(
        "auto",
        description="none: a quote is a character, and a line is a row. csv: as in CSV. auto: csv where "
        "each name of the header is quoted, else none.",
    )


class Tsv(DelimitedFormat):
    name = "tsv"
    summary = "rows of values apart by tabs, in which quotes are characters"
    suffixes = ("tsv", "tab")
    options = TsvSettings
    code = 2


FORMAT = Tsv()

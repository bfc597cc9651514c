"""What can be wrong with a filter, before it is known where, and how large a filter may be."""

MAX_CHARACTERS = 65_536  # of an expression
MAX_DEPTH = 32  # parentheses, `not`, and the like inside one another
MAX_CONDITIONS = 256
MAX_VALUES = 4_096  # of one `in`
MAX_VALUE_CHARACTERS = 4_096
# An empty filter may be one that somebody made of rights and that came out empty.
EMPTY_HINT = 'Leave the filter out to search everything, or write a condition such as lang = "en".'


class FilterProblem(ValueError):
    """A filter that cannot be used; `hint` says what to do. Who knows the place turns it into ConfigError."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def too_deep() -> FilterProblem:
    """The problem of a filter that is nested too deeply."""
    return FilterProblem(
        f"it is nested more than {MAX_DEPTH} levels deep",
        "Join conditions with `and` and `or`, and give alternatives as `in (...)`.",
    )

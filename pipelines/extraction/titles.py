"""Titles that say nothing: what programs write where their users wrote none."""

import re

_PROGRAM = re.compile(
    r"microsoft (office )?(word|excel|powerpoint|publisher)( \d+)? - |(file|https?)://|about:blank"
)
_LONGEST = 100  # characters of a placeholder
_THING = "document|dokument|doc|page|presentation|spreadsheet|file"
_PLACEHOLDER = re.compile(
    r"\W*(?:"
    r"(?:untitled|unbenannt|sans titre|sin título|без названия|no title|unnamed|unspecified)"
    rf"(?:[\W_]*(?:{_THING}))?"
    rf"|anonymous|unknown|none|null|new[\W_]*(?:{_THING})|document|dokument|powerpoint presentation"
    r"|(?:document|dokument|doc|presentation|book|sheet)\d+|(?:document|slide|page) \d+"
    r")?[\W_\d]*(?:\.[a-z]{2,4})?"
)


def meaning(title: str) -> str:
    """The title on one line, or "" where it is a placeholder: `untitled`, `Microsoft Word - x.doc`."""
    title = " ".join(title[:5000].split())
    low = title.lower()
    has_words = any(map(str.isalpha, low)) or not any(map(str.isdigit, low))  # a year or a date may be meant
    is_placeholder = has_words and len(low) <= _LONGEST and _PLACEHOLDER.fullmatch(low) is not None
    says_nothing = is_placeholder or not any(map(str.isalnum, low))
    return "" if says_nothing or _PROGRAM.match(low) else title

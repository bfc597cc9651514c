"""Passages are hostile: text as one line that cannot pass for a citation, a new block or a control token."""

import re
import unicodedata

# What reads as a citation, and control words in brackets such as [INST] of some chat models.
_BRACKETS = re.compile(r"\[(\s*(?:\d[\d\s,;\u2013-]*|/?[A-Z_]{2,}))\]")
# Control tokens of chat models are written <eos>, </s>, <|end|> or with a full-width bar.
_MARKUP = re.compile(r"<(?=[/|\uff5ca-zA-Z_])")
_JOINERS = "\u200c\u200d"
_SPACE = re.compile(r"\s+")


def inert(text: str) -> str:
    """The text on one line, without control characters; `[1]` becomes `(1)`, `<eos>` becomes `< eos>`.

    Only what is shown to a model or put into an answer is changed, never a quote.
    """
    line = _SPACE.sub(" ", "".join(map(_visible, text))).strip()
    return _BRACKETS.sub(r"(\1)", _MARKUP.sub("< ", line))


def _visible(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    # Marks that turn the direction of text, or hide in it; joiners spell words and emoji.
    return "" if kind in ("Cf", "Cs", "Co") and letter not in _JOINERS else letter

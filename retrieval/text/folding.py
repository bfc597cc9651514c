"""What looks the same is the same text: for comparisons, and further for the terms of a search.

`comparable` leaves everything that a reader can see. `folded` also forgets case, width and the form of
letters, after Unicode's NFKC_Casefold (Unicode Standard Annex 44), with what that leaves apart and a reader
does not: final sigma, the Turkish i, the Armenian ligature ech yiwn, Thai and Lao vowels typed in two ways,
digits of other scripts, and Arabic and Hebrew with and without their optional marks.
"""

import re
import unicodedata

# Default ignorable code points and interlinear annotations: nothing is shown for them.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Joiners that change how Arabic and Indic letters and emoji look; where text is compared they count.
_JOINERS = "\u200c\u200d"
INVISIBLE = re.compile(f"[{_INVISIBLE}]")
_UNSEEN = re.compile(f"(?![{_JOINERS}])[{_INVISIBLE}]")
# Signs of Arabic and Hebrew that most texts do without, and the stroke that stretches Arabic words.
_OPTIONAL = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08ca-\u08e1\u08e3-\u08ff\u0711\u0730-\u074a]"
)
_VARIANTS = str.maketrans({
    "\u0131": "i",  # dotless i: its capital is that of i, so that upper-case text does not tell them apart
    "\u03c2": "\u03c3",  # final sigma
    "\u0587": "\u0565\u057e", "\u0582": "\u057e",  # ech yiwn, whose capital is written in two ways
    "\u06a9": "\u0643", "\u06cc": "\u064a", "\u0649": "\u064a",  # Persian kaf and yeh, alef without dots
    "\u06c0": "\u0647", "\u06c1": "\u0647", "\u06c3": "\u0629", "\u06d5": "\u0647",  # forms of heh
})  # fmt: skip
_RETYPED = (
    ("i\u0307", "i"),  # what lower-casing makes of the Turkish capital i
    ("\u0565\u0582", "\u0565\u057e"),
    ("\u0e40\u0e40", "\u0e41"),  # sara e twice for sara ae
    ("\u0ec0\u0ec0", "\u0ec1"),
)
# Nikhahit in front of a tone mark: it is typed on either side of one, and shown above.
_THAI_ORDER = re.compile("([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb])")
# Accents, and what stands around a letter: of scripts whose words are read without them.
_ACCENTS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_SUBSCRIPT_IOTA = re.compile(
    "[\u0345\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc\u1ff2-\u1ff4\u1ff7\u1ffc]"
)
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_UNACCENTED = str.maketrans({
    "\u0451": "\u0435", "\u0450": "\u0435", "\u045d": "\u0438",  # Cyrillic io and grave accents
    "\u0622": "\u0627", "\u0623": "\u0627", "\u0625": "\u0627", "\u0671": "\u0627",  # alef with a sign
    "\u0624": "\u0648", "\u0626": "\u064a",  # hamza on waw and yeh
})  # fmt: skip


def comparable(text: str) -> str:
    """The text as two that look the same are equal: NFC, without what is not shown."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text))


def folded(text: str) -> str:
    """The text in lower case as terms are compared: NFKC_Casefold, and what the module says beside it."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
    if _SUBSCRIPT_IOTA.search(text):  # which case folding would write beside its letter
        text = unicodedata.normalize("NFD", text).replace("\u0345", "")
    text = text.casefold()
    text = unicodedata.normalize("NFKC", text).translate(_VARIANTS)
    for typed, shown in _RETYPED:
        text = text.replace(typed, shown)
    text = _OPTIONAL.sub("", _THAI_ORDER.sub(r"\2\1", text))
    return text if text.isascii() else "".join(map(_digit, text))


def unaccented(text: str) -> str:
    """Folded text without accents; those of Latin letters that are one character with theirs stay."""
    if text.isascii():
        return text
    if _GREEK.search(text):
        text = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", _ACCENTS.sub("", text)).translate(_UNACCENTED)


def _digit(letter: str) -> str:
    """A decimal digit of any script as that of ASCII."""
    return str(unicodedata.decimal(letter)) if letter.isdecimal() else letter

"""Characters of bytes: `decode` decides for every format which encoding they are in.

In this order: a byte order mark; the encoding that the bytes declare, by the labels of the WHATWG's Encoding
Standard (https://encoding.spec.whatwg.org), which browsers go by; the one that is configured; UTF-8; and last
the one that chardet detects. What was guessed or replaced is said.
"""

import codecs
import contextlib
import io
import re
import unicodedata
from functools import cache

import webencodings

from pipelines.extraction.answers import BadData

UTF8 = "utf-8"
SAMPLE_BYTES = 64 << 10  # that an encoding is detected by
_BOMS = (  # UTF-32 before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARKS = tuple(mark for mark, _ in _BOMS)
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_ESCAPED = ("iso2022_jp_2", "iso2022_kr")  # of ASCII bytes alone
_ESCAPE = re.compile(rb"\x1b[$(][@A-DIJ]")
# What texts are found in. More would be found where nothing is: some of the rarer ones fit any bytes.
_COMMON = (
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "koi8-r", "koi8-u", "iso8859-2", "iso8859-5", "iso8859-7", "mac-roman", "cp850", "cp852", "cp866",
    "big5hkscs", "cp932", "cp949", "gb18030", "euc_jis_2004",
)  # fmt: skip
# As browsers read them: supersets that pages of the smaller ones are full of.
_WIDER = {"gbk": ["gb18030"], "euc_jp": ["euc_jp", "euc_jis_2004"], "iso2022_jp": ["iso2022_jp_ext"]}
_BYTE_EACH = re.compile(r"cp(125\d|874|866)|koi8-[ru]|iso8859-\d+|mac-(roman|cyrillic)|x-user-defined")
_NO_TEXT = re.compile("[\0-\x08\x0e-\x19\x1c-\x1f\x7f-\x84\x86-\x9f]")
_OTHER_SCRIPT = "\u0370-\u058f\u0590-\u06ff\u0e00-\u0e7f"
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_LETTER = re.compile(r"[^\W\d_\x00-\x7f]")
_MIXED_WORD = re.compile(f"[A-Za-z][{_OTHER_SCRIPT}]|[{_OTHER_SCRIPT}][A-Za-z]")

_META = re.compile(rb"<meta\b((?:[^>\"']|\"[^\"]{0,2000}\"|'[^']{0,2000}'){0,2000})>", re.IGNORECASE)
_CHARSET = re.compile(rb"(?:^|[\s\"';/])charset\s*=\s*[\"']?\s*([^\s\"'/>;]{1,40})", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"http-equiv\s*=\s*[\"']?\s*content-type", re.IGNORECASE)
_QUOTED = re.compile(rb"(content\s*=\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.{0,4096}?-->", re.DOTALL)
_XML = re.compile(rb"\s{0,100}<\?xml[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})[\"']")
_HEAD_BYTES = 4096  # of a page that a declaration is looked for in


def decode(data: bytes, declared: str = "", configured: str = "", sample: bytes = b"") -> tuple[str, str]:
    """(text, what is to be said of it, "" for nothing). Raises BadData for what is no text.

    `declared`: a label that the bytes or their transport give, which may be wrong. `configured`: by the user,
    a label or a name that Python knows. `sample`: bytes that the encoding is detected by where it must be, in
    place of `data`.
    """
    if not (declared or configured or b"\0" in data or b"\x1b" in data or data.startswith(_MARKS)):
        with contextlib.suppress(UnicodeDecodeError):  # as most data are
            return data.decode(), ""
    if found := marked(data):
        mark, name = found
        return lossy(data[len(mark) :], name)
    named = _declared_codec(declared)
    if named is None and configured:
        return lossy(data, check_encoding(configured))
    said = f"an encoding that is unknown is declared: {declared[:40]}" if declared and named is None else ""
    if named in (None, UTF8) or _BYTE_EACH.fullmatch(named or ""):
        if wide := detected_wide(data):
            text, note = lossy(data, wide)
            return text, _also(f"decoded as {shown(wide)}, which was guessed", note)
        text, note = _utf8_first(data, named, sample)
    else:
        text, note = lossy(data, named or UTF8)
        if note and (other := _strict(data, UTF8)) is not None:
            text, note = other, f"decoded as UTF-8, and it declares another encoding: {declared[:40]}"
    return text, _also(said, note)


def marked(data: bytes) -> tuple[bytes, str] | None:
    """The byte order mark that the data begin with, and the codec that it stands for."""
    return next((found for found in _BOMS if data.startswith(found[0])), None)


def check_encoding(label: str) -> str:
    """The codec of a configured label or Python name, "" stays. Raises ValueError for one that is unknown."""
    if not label:
        return ""
    found = _declared_codec(label)
    if found is None:
        try:
            info = codecs.lookup(label)
        except (LookupError, ValueError) as error:
            raise ValueError(f"there is no encoding {label!r}") from error
        if not info._is_text_encoding:
            raise ValueError(f"{label!r} is no encoding of text")
        found = info.name
    return found


def declared_in(page: bytes) -> str:
    """The label that an HTML or XML document declares in its first 4096 bytes, "" for none.

    A `meta` element comes first, as in browsers, then the XML declaration. One that can be read as bytes
    is not UTF-16, so that a declaration of that means UTF-8.
    """
    head = page[:_HEAD_BYTES]
    lowered = head.lower()
    if b"<meta" not in lowered and b"<?xml" not in lowered:
        return ""
    label = b""
    for meta in _META.finditer(_COMMENT.sub(b"", head)):
        told = meta[1]
        if not _CONTENT_TYPE.search(told):  # what other elements have in `content` is text
            told = _QUOTED.sub(rb"\1", told)
        if found := _CHARSET.search(told):
            label = found[1]
            break
    if not label and (found := _XML.match(head)):
        label = found[1]
    name = label.decode("ascii", "replace").strip()
    return UTF8 if _declared_codec(name) in WIDE else name


def shown(codec: str) -> str:
    """A codec by the name that the web has for it, where it has one."""
    known = webencodings.lookup(codec.replace("_", "-")) or webencodings.lookup(_WEB_NAMES.get(codec, ""))
    return str(known.name) if known is not None else codec.replace("_", "-")


_WEB_NAMES = {
    "cp932": "shift_jis", "cp949": "euc-kr", "big5hkscs": "big5", "cp874": "windows-874",
    "mac-roman": "macintosh",
    "euc_jis_2004": "euc-jp", "iso2022_jp_2": "iso-2022-jp", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be",
}  # fmt: skip


@cache
def _declared_codec(label: str) -> str | None:
    """Python's codec for a label of the web; None for one that is unknown there."""
    found = webencodings.lookup(label) if label else None
    if found is None:
        return None
    if found.name == "replacement":  # browsers refuse these; what they are is known
        return {"iso-2022-kr": "iso2022_kr", "csiso2022kr": "iso2022_kr", "hz-gb-2312": "hz"}.get(
            label.strip().lower()
        )
    return str(found.codec_info.name)


def _also(first: str, second: str) -> str:
    return "; ".join(text for text in (first, second) if text)


def _strict(data: bytes, codec: str) -> str | None:
    """The text, where every byte of it is right."""
    for name in _WIDER.get(codec, [codec]):
        try:
            if name == "x-user-defined":
                return str(webencodings.lookup(name).codec_info.decode(data, "strict")[0])
            return data.decode(name, "corpusmill-c1" if name.startswith("cp125") else "strict")
        except UnicodeDecodeError:
            continue
    return None


def lossy(data: bytes, codec: str) -> tuple[str, str]:
    """(text, note) by a codec of Python, where what is invalid is replaced and counted."""
    text = _strict(data, codec)
    if text is not None:
        return text, ""
    name = _WIDER.get(codec, [codec])[0]
    text = data.decode(name, "replace")
    own = data.count("\ufffd".encode()) if codec == UTF8 else 0
    return text, f"invalid {shown(codec)} was replaced by U+FFFD: {text.count(chr(0xFFFD)) - own} times"


def _c1(error: UnicodeError) -> tuple[str, int]:
    """The bytes that a Windows code page leaves open are control characters, as in browsers."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error("corpusmill-c1", _c1)


def _utf8_first(data: bytes, declared: str | None, sample: bytes) -> tuple[str, str]:
    """Bytes that are UTF-8, or declare so or another encoding of one byte each, or say nothing."""
    if declared is None and b"\x1b" in data and _ESCAPE.search(data) and (found := _detected(data, _ESCAPED)):
        return lossy(data, found)[0], f"decoded as {shown(found)}, which was guessed"
    text = _strict(data, UTF8)
    if text is not None:
        if declared in (None, UTF8) or data.isascii():
            return _without_nul(text)
        return text, f"decoded as UTF-8, and it declares another encoding: {shown(str(declared))}"
    if declared not in (None, UTF8):
        return lossy(data, str(declared))
    found = guess(sample or data)
    text, note = lossy(data, found)
    return text, note if found == UTF8 else _also(f"decoded as {shown(found)}, which was guessed", note)


def guess(data: bytes) -> str:
    """The codec of bytes that are not UTF-8 throughout; raises BadData where none can be told."""
    text, _ = lossy(data, UTF8)
    if text.count("\ufffd") <= _multibyte(text):
        return UTF8
    found = None if b"\0" in data else _detected(data, _COMMON)
    if not found or _NO_TEXT.search(lossy(data[: 16 * SAMPLE_BYTES], found)[0]):
        raise BadData("neither UTF-8 nor in an encoding that can be told: name it in corpus.encoding")
    return found


def _multibyte(text: str) -> int:
    """Characters beyond ASCII that were decoded."""
    return len(text.encode("utf-8", "surrogatepass")) - len(text) - 2 * text.count("\ufffd")


def _without_nul(text: str) -> tuple[str, str]:
    if "\0" not in text:
        return text, ""
    return text.replace("\0", "\ufffd"), f"NUL was replaced by U+FFFD: {text.count(chr(0))} times"


def detected_wide(data: bytes) -> str:
    """The codec of UTF-16 or UTF-32 without a mark, "" for other data. Raises BadData for binary data.

    Half of its bytes are NUL in most scripts, and some are in all: those of blanks and line ends.
    """
    head = data[:SAMPLE_BYTES]
    nul = head.count(0)
    if not nul:
        return ""
    if 8 * nul >= len(head) or _strict(head[: len(head) - 4], UTF8) is None:
        found = _wide_by_place(head) or _detected(head, WIDE)
        if found and _is_text(lossy(head[: len(head) // 4 * 4], found)[0][:2000]):
            return found
        if 8 * nul >= len(head):
            raise BadData("a binary file, or in an encoding that can't be told: name it in corpus.encoding")
    return ""


def _is_text(text: str) -> bool:
    """Whether next to all characters are ones that texts have."""
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and not c.isspace() for c in text)
    return 20 * (odd + text.count("\ufffd")) <= len(text)


def _wide_by_place(head: bytes) -> str:
    """By where the NUL bytes lie, for texts too short to detect."""
    lanes = [head[i::4].count(0) for i in range(4)]
    even, odd = lanes[0] + lanes[2], lanes[1] + lanes[3]
    if len(head) % 2 or not 3 * max(even, odd) >= len(head) or min(even, odd):
        return ""
    return "utf-16-be" if even else "utf-16-le"


def sample_of(data: bytes) -> bytes:
    """At most SAMPLE_BYTES of the lines that are not ASCII, by which an encoding can be told."""
    pieces, size = [], 0
    for line in io.BytesIO(data):
        if line.isascii():
            continue
        # What stands in front of the first such byte may be cut anywhere: no character is cut by that.
        first = next(_BEYOND_ASCII.finditer(line)).start()
        pieces.append(line[max(0, first - 200) : first + SAMPLE_BYTES - size])
        size += len(pieces[-1])
        if size >= SAMPLE_BYTES:
            break
    return b"".join(pieces)[:SAMPLE_BYTES]


def _detected(data: bytes, among: tuple[str, ...]) -> str | None:
    """The most likely codec, or None; words of Latin and other letters speak against it."""
    head = (sample_of(data) if among == _COMMON else b"") or data[:SAMPLE_BYTES]
    import chardet  # which takes a while to load, and most corpora never need it

    found = chardet.detect_all(
        head, max_bytes=SAMPLE_BYTES, include_encodings=list(among), prefer_superset=True, compat_names=False
    )
    for one in found:
        name = one["encoding"]
        if name is None or name not in (*among, "cp932", "cp949"):
            continue
        text = head.decode(name, "replace")
        if 10 * len(_MIXED_WORD.findall(text)) <= len(_LETTER.findall(text)):
            return str(name)
    return None

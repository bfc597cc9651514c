"""Bytes become characters by one function: mark, declaration, setting, UTF-8, and last what is detected."""

import contextlib
import time

import pytest

from pipelines.extraction.answers import BadData
from pipelines.extraction.decoding import check_encoding, declared_in, decode

TEXTS = {
    "cp1251": "Капитан проверяет судно и груз перед выходом из порта.",
    "koi8-r": "Капитан проверяет судно и груз перед выходом из порта.",
    "cp1253": "Ο καπετάνιος ελέγχει το πλοίο και το φορτίο.",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy. Žádný učený z nebe nespadl.",
    "cp1252": "Der Kapitän prüft die Größe des Schiffes.",
    "cp1255": "הקפטן בודק את הספינה ואת המטען",
    "cp932": "船長は出港前に船と積荷を点検する。",
    "euc_jp": "船長は出港前に船と積荷を点検する。",
    "iso2022_jp": "船長は出港前に船と積荷を点検する。",
    "gb18030": "船长在出港前检查船只和货物。",
    "cp949": "선장은 출항 전에 배와 화물을 점검한다.",
    "utf-16-le": "Hatch opens at noon.",
    "utf-16-be": "船长在出港前检查船只。\n今天天气很好。\n",
    "utf-32-le": "Grüße",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_what_says_nothing_is_detected_and_it_is_said(encoding: str) -> None:
    text, note = decode(TEXTS[encoding].encode(encoding))
    assert text == TEXTS[encoding]
    assert "which was guessed" in note


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_comes_before_all_else(encoding: str) -> None:
    assert decode("Grüße".encode(encoding), declared="koi8-r", configured="cp437") == ("Grüße", "")


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("Shift_JIS", "cp932", "①番線 髙橋"), ("x-sjis", "cp932", "日本語"), ("windows-31j", "cp932", "髙橋"),
        ("gb2312", "gb18030", "朱镕基 囍"), ("euc-kr", "cp949", "똠방각하"),
        ("big5", "big5hkscs", "碁 粧 嘅"),
        ("iso-8859-1", "cp1252", "“Café” 5 €"), ("iso-8859-9", "cp1254", "“güzel” ş"),
        ("tis-620", "cp874", "“ไทย”"), ("macintosh", "mac-roman", "Café"),
        ("iso-2022-jp", "iso2022_jp", "日本"),
        ("visual", "iso8859-8", "שלום"), ("iso-2022-kr", "iso2022_kr", "한글"), ("latin1", "latin-1", "\x81"),
    ],
)  # fmt: skip
def test_declared_labels_mean_what_they_mean_to_browsers(label: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), declared=label) == (text, "")


def test_a_declaration_that_is_wrong_is_told() -> None:
    assert decode("Grüße".encode(), declared="latin1") == (
        "Grüße", "decoded as UTF-8, and it declares another encoding: windows-1252",
    )  # fmt: skip
    text, note = decode("Die Größe der Straße".encode("cp1252"), declared="utf-8")
    assert (text, note) == ("Die Größe der Straße", "decoded as windows-1252, which was guessed")
    assert decode(b"plain", declared="klingon") == (
        "plain", "an encoding that is unknown is declared: klingon",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("page", "label"),
    [
        (b'<?xml version="1.0" encoding="windows-1251"?><html>', "windows-1251"),
        (b"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"),
        (b'<meta name=a content="charset=big5"><meta http-equiv="Content-Type" content="a; charset=x">', "x"),
        (b"<META CONTENT='text/html;charset=x-sjis' HTTP-EQUIV='content-type'>", "x-sjis"),
        (b'<meta charset="utf-16">', "utf-8"),
        (b"<p>charset=big5", ""),
    ],
)
def test_declarations_of_a_page(page: bytes, label: str) -> None:
    assert declared_in(page) == label


def test_what_is_invalid_is_replaced_and_counted() -> None:
    text, note = decode("Grüße aus Köln".encode() + b"\xff!")
    assert (text, note) == ("Grüße aus Köln\ufffd!", "invalid utf-8 was replaced by U+FFFD: 1 times")
    assert decode(b"\xff\xfea\0b", configured="koi8-r") == (
        "a\ufffd", "invalid utf-16le was replaced by U+FFFD: 1 times",
    )  # fmt: skip
    assert decode(b"some text \0 and more of it")[0] == "some text \ufffd and more of it"


def test_configured_encodings_are_obeyed() -> None:
    assert decode("Größe".encode("cp437"), configured="cp437") == ("Größe", "")
    assert decode("Größe".encode(), configured="latin1")[0] == "GrÃ¶ÃŸe"
    assert decode("ab".encode("utf-16-be"), configured="utf-16be") == ("ab", "")
    for wrong in ("klingon", "base64", "rot13"):
        with pytest.raises(ValueError, match="encoding"):
            check_encoding(wrong)


@pytest.mark.parametrize("data", [bytes(range(256)) * 9, b"\x7fELF\2\1\1\0\0\0\0\0\0" * 9, b"\xff\xfa\1\2"])
def test_binary_data_are_refused(data: bytes) -> None:
    with pytest.raises(BadData, match="encoding"):
        decode(data)


def test_a_long_beginning_of_ascii_hides_nothing() -> None:
    assert decode(b"plain. " * 50_000 + "Größe der Straße".encode("cp1252"))[0].endswith("Größe der Straße")


SLOW = {
    "no end of ASCII": b"\xe9\n" + b"a" * 3_000_000,
    "ASCII, then another": b"a" * 3_000_000 + b" caf\xe9",
    "lines of one letter": b"\xe9\n" * 1_000_000,
    "escapes": b"\x1b$B" * 1_000_000,
    "NUL": b"a\0" * 1_000_000 + b"a",
}


@pytest.mark.parametrize("name", SLOW)
def test_the_time_to_tell_an_encoding_is_bounded(name: str) -> None:
    began = time.process_time()
    with contextlib.suppress(BadData):
        decode(SLOW[name])
    assert time.process_time() - began < 5
    began = time.process_time()
    for page in (b"<meta " * 600, b'<meta "' * 600, b"<meta><!--" * 400, b"<meta " + b" " * 4000 + b"<?xml"):
        declared_in(page)
    assert time.process_time() - began < 5

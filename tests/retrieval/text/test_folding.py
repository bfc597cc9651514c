"""What looks the same is equal, and what looks different is not."""

import unicodedata

import pytest

from retrieval.text import comparable, folded, unaccented


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Größe", unicodedata.normalize("NFD", "Größe")),
        ("각국", unicodedata.normalize("NFD", "각국")),
        ("soft\u00adware", "software"),
        ("\ufeffname\u200b", "name"),
        ("\u2067left\u2069", "left"),
    ],
)
def test_comparable_is_what_a_reader_sees(one: str, other: str) -> None:
    assert comparable(one) == comparable(other)


@pytest.mark.parametrize(
    ("one", "other"), [("A", "a"), ("é", "e"), ("Ａ", "A"), ("\u0646\u200c\u0645", "\u0646\u0645")]
)
def test_comparable_keeps_what_a_reader_can_tell(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "Straße"), ("ẞ", "ss"), ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"), ("İZMİR", "izmir"), ("IŞIK", "ışık"),
        ("ԵՐԵՎԱՆ", "Երևան"), ("ǅ", "dž"), ("ﬁne", "fine"), ("ＡＢＣ１２３", "abc123"), ("ｶﾞ", "ガ"),
        ("㎢", "km2"),
        ("Ⅷ", "viii"), ("𝐛𝐨𝐥𝐝", "bold"), ("مرحبـــا", "مرحبا"), ("كَتَبَ", "كتب"), ("שָׁלוֹם", "שלום"),
        ("کتاب", "كتاب"), ("١٩٨٤", "1984"), ("१९४७", "1947"), ("น้ำ", "น้ํา"), ("เเม่", "แม่"), ("ﻻ", "لا"),
        ("no\u00adte", "note"), ("jo\u034finer", "joiner"), ("❤\ufe0f", "❤"),
    ],
)  # fmt: skip
def test_folded_forgets_case_width_and_optional_marks(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("й", "и"), ("ด", "ต"), ("ガ", "カ"), ("é", "e"), ("कि", "की")])
def test_folded_keeps_letters_apart(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_accents_are_taken_off_letters_but_not_off_other_letters() -> None:
    assert unaccented(folded("Λυκαβηττό ᾠδή")) == "λυκαβηττο ωδη"
    assert unaccented(folded("за\u0301мок Ёж йод")) == "замок еж йод"
    assert (
        unaccented(folded("\u1ecd\u0301r\u1ecd\u0300")) == "\u1ecdr\u1ecd"
    )  # no letter has both of its marks
    assert unaccented(folded("أحمد إسلام آمال")) == "احمد اسلام امال"
    assert unaccented(folded("कि ガ")) == "कि ガ"

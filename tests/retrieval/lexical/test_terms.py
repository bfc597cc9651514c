"""How text becomes terms: what people type is found, and no text is an error."""

import pytest

from retrieval.lexical.analysis.analyzer import LONGEST_TERM, Analyzer
from retrieval.lexical.analysis.codes import codes
from retrieval.settings import LexicalSettings


def terms(text: str, **settings: object) -> list[str]:
    return Analyzer(LexicalSettings.model_validate(settings))(text)


def test_words_are_folded_and_stemmed_and_stop_words_left_out() -> None:
    assert terms("The CAFÉS are running") == terms("cafes run") == ["cafe", "run"]
    assert terms("the cafés", stop_words=False) == ["the", "cafe"]
    assert terms("the runners", stop_words=["Runners"]) == ["the"]
    assert terms("cafés", fold_accents=False) == ["café"]
    assert terms("running", stemming=False) == ["running"]
    assert terms("the running", language="none") == ["the", "running"]


@pytest.mark.parametrize(
    "language", ["arabic", "german", "french", "greek", "romanian", "russian", "tamil", "turkish"]
)
def test_every_language_makes_terms(language: str) -> None:
    assert terms("Häuser und Gärten 2024", language=language)


def test_stop_words_of_a_language_are_its_own() -> None:
    assert terms("der Garten", language="german") == ["gart"]
    assert terms("même", language="french") == []  # a stop word with an accent, though accents are taken off


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("call np.linalg.lstsq(a, b)", "np.linalg.lstsq"),
        ("it failed (ERR-17).", "err-17"),
        ("written in C++, not C", "c++"),
        ("set foo_bar='x'", "foo_bar"),
        ("since v1.2.3!", "v1.2.3"),
        ("see https://example.org/a?b=c.", "https://example.org/a?b=c"),
    ],
)
def test_codes_are_kept_whole_beside_their_pieces(text: str, code: str) -> None:
    assert code in terms(text)
    assert code not in terms(text, keep_codes=False)
    assert set(terms(text, keep_codes=False)) <= set(terms(text))


def test_a_code_of_letters_and_digits_is_a_term_once() -> None:
    assert terms("error 0x80070057") == ["error", "0x80070057"]


def test_prose_has_no_codes() -> None:
    assert codes('A well-known, "so-called" (state-of-the-art) thing; he said: don\'t! 10% of 2,000 --') == []


@pytest.mark.parametrize(
    "text",
    ["", " \t\n", "\0", "\ud800 lone", "(((", '"unbalanced', "a:b:c^2~*?", "+-&&||!{}[]", "x" * 100_000,
     "." * 100_000, "a." * 50_000, "\u202e\ufeff\u0301", "日本語" * 1000],
)  # fmt: skip
def test_no_text_is_an_error_and_no_term_is_long(text: str) -> None:
    assert all(len(term) <= LONGEST_TERM for term in terms(text))


def test_text_beside_what_cannot_be_written_is_found() -> None:
    assert terms("volcano\ud800 \0bees\0") == ["volcano", "bee"]

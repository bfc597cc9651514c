"""Terms of many scripts: the words of a query are among those of the text that shows them."""

import pytest

from retrieval.lexical.analysis import Analyzer
from retrieval.settings import LexicalSettings

ANALYZER = Analyzer(LexicalSettings())


def found(query: str, text: str, analyzer: Analyzer = ANALYZER) -> bool:
    """Whether the text has every term of the query, and the query some."""
    wanted = analyzer.query(query).words
    return bool(wanted) and set(wanted) <= set(analyzer.passage(text).words)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("北京大学", "他在北京大学读书。"), ("茶", "喝茶有益健康"), ("Python3", "使用Python3编写程序"),
        ("GPU驱动", "安装GPU驱动失败"), ("1949", "成立于1949年"), ("圖書館", "這間圖書館不開放"),
        ("猫", "吾輩は猫である"), ("バッテリー", "電話のﾊﾞｯﾃﾘｰを交換する"),
        ("安全保障", "国際連合安全保障理事会"),
        ("โรงเรียน", "นักเรียนไปโรงเรียนทุกวัน"), ("น้ํามัน", "ราคาน้ำมันสูงขึ้น"), ("ปี", "ทุกปีมีฝน"),
        ("ວັນຈັນ", "ປິດໃນວັນຈັນ"), ("បណ្ណាល័យ", "នៅបណ្ណាល័យជាតិ"),
        ("စာကြည့်တိုက်", "အမျိုးသားစာကြည့်တိုက်ကို"),
        ("학교", "학교에서는 책을 빌려준다"), ("책", "책을 빌려준다"), ("도서관", "국립도서관은 휴관"),
        ("библиотека", "в библиотеках города"),
        ("βιβλιοθήκη", "οι βιβλιοθήκες"), ("पुस्तकालय", "राष्ट्रीय पुस्तकालय"), ("dong cua", "đóng cửa"),
        ("résumé", "re\u0301sume\u0301"), ("resume", "Résumé"), ("Hauptstrasse", "in der Hauptstraße 5"),
        ("istanbul", "İstanbul'daki"), ("ERR-17", "ＥＲＲ－１７"), ("ERR-17", "ERR\u201117"),
        ("np.linalg", "使用np.linalg求解"),
        ("office", "the of\ufb01ce of\u00adfice"), ("Acme", "Acme™"), ("🎉", "party🎉tonight"),
        ("👍", "👍🏽"), ("🇩🇪", "🇫🇷🇩🇪"),
    ],
)  # fmt: skip
def test_a_word_is_found_where_it_is_seen(query: str, text: str) -> None:
    assert found(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("مدرسة", "والمدرسة الكبيرة"), ("وطنية", "المكتبة الوطنية"), ("سيارة", "ذهبت بالسيارة"),
        ("جامعة", "للجامعة"),
        ("معلم", "المعلمون"), ("المدينة", "مدينة"), ("كتب", "كَتَبَ"), ("ספר", "הספר החדש"),
        ("בית", "ובבית"),
        ("השולחן", "שולחן"),
    ],
)  # fmt: skip
def test_a_word_is_found_with_and_without_what_is_written_on_to_it(query: str, text: str) -> None:
    assert set(ANALYZER.query(query).words) & set(ANALYZER(text))


@pytest.mark.parametrize(
    ("query", "text"), [("京都", "東京と都内"), ("🇪🇩", "🇩🇪🇩🇪"), ("йод", "иод"), ("공책", "책")]
)
def test_another_word_is_not(query: str, text: str) -> None:
    assert not found(query, text)


def test_a_named_language_is_the_only_one_and_none_is_no_language() -> None:
    english = Analyzer(LexicalSettings(language="english"))
    assert not found("библиотека", "в библиотеках", english)
    assert found("running", "he runs", english) and found("图书馆", "市立图书馆每周一闭馆", english)
    plain = Analyzer(LexicalSettings(language="none"))
    assert plain("The المكتبة") == ["the", "المكتبة"]


def test_accents_and_case_without_folding_of_accents() -> None:
    exact = Analyzer(LexicalSettings(fold_accents=False))
    assert not found("resume", "résumé", exact)
    assert (
        found("MASSKRUG", "Maßkrug", exact)
        and found("izmir", "İZMİR", exact)
        and found("ışık", "IŞIK", exact)
    )


def test_stop_words_are_kept_apart_and_asked_for_alone() -> None:
    assert ANALYZER.query("to be or not to be").words == []
    assert ANALYZER.query("to be or not").stop_words == ["=to", "=be", "=or", "=not"]
    assert ANALYZER.query("The bees").words == ["bee"]
    assert ANALYZER.passage("и на bees").stop_words == ["=и", "=на"]  # Russian ones
    listed = Analyzer(LexicalSettings(stop_words=["Größe"]))
    assert listed.query("GRÖSSE").words == []


def test_the_first_letter_of_a_word_tells_its_script() -> None:
    assert ANALYZER("TNFα receptors") == ["tnfα", "receptor"]
    assert ANALYZER("5кг рукописи")[1:] == ANALYZER("рукописей")


def test_terms_do_not_depend_on_what_was_analysed_before() -> None:
    text = "The naïve cafés of 東京, running; the ERR-17 of C++"
    fresh = Analyzer(LexicalSettings()).passage(text)
    assert ANALYZER.passage(text) == ANALYZER.passage(text) == fresh

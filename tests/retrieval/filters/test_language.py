"""The filter language: both notations, precedence, and errors that say what, where and what to do."""

import json
import random
from typing import Any

import pytest

from retrieval.errors import ConfigError
from retrieval.filters.filter import parse
from tests.tools.samples.filter_samples import SCHEMA, as_expression, random_filter


def test_both_notations_give_one_filter() -> None:
    generator = random.Random(1)
    for _ in range(300):
        plain = random_filter(generator)
        filter = parse(plain, SCHEMA)
        assert parse(as_expression(plain), SCHEMA) == filter
        assert parse(json.dumps(plain), SCHEMA) == filter
        assert parse(json.loads(json.dumps(filter.to_json())), SCHEMA) == filter
        assert hash(parse(filter.to_json(), SCHEMA)) == hash(filter)


def test_precedence_case_and_spacing() -> None:
    loose = parse('lang="en" AND year>=2019 OR NOT has tags AND open == true', SCHEMA)
    strict = parse('((lang = "en") and (year >= 2019)) or ((not (has tags)) and (open = true))', SCHEMA)
    assert loose == strict
    assert loose.fields == ("lang", "year", "tags", "open")


def test_names_of_fields() -> None:
    assert parse("`first name` = 'x'", SCHEMA).fields == ("first name",)
    assert parse("metadata.lang = 'x'", SCHEMA) == parse("lang = 'x'", SCHEMA)
    # A metadata field hides the document's field of that name; the prefix reaches it.
    own, document = parse("source = 'x'", SCHEMA), parse("document.source = 'x'", SCHEMA)
    assert own != document
    assert parse(document.to_json(), SCHEMA) == document
    assert parse("document.title = 'x'", SCHEMA) == parse("title = 'x'", SCHEMA)
    assert parse("has `and`", {"and": "integer"}).fields == ("and",)
    assert parse("has größe.x-1", {"größe.x-1": "integer"}).fields == ("größe.x-1",)


def test_values() -> None:
    def value(text: str) -> Any:
        return parse(text, SCHEMA).to_json()["value"]

    assert value(r"""lang = "say \"so\" \\ C:\new" """) == r'say "so" \ C:\new'
    assert value("lang = 'it\\'s'") == "it's"
    assert value("year = 2019.0") == 2019 and isinstance(value("year = 2019.0"), int)
    assert value("score = -3") == -3.0 and isinstance(value("score = -3"), float)
    assert value("score > .5e-3") == 0.0005
    assert value("year in (1, 2, 1,\n 2.0)") == [1, 2]
    assert value('seen >= "2019-12-31"') == "2019-12-31"
    assert value('at >= "2020-01-01T00:00:00+02:00"') == value('at >= "2019-12-31 22:00Z"')


@pytest.mark.parametrize(
    ("text", "message", "hint", "caret"),
    [
        ("lnag = 'en'", "no field 'lnag'", "Did you mean lang?", 0),
        ("lang = en", "expected a value, found 'en'", 'Text stands in quotes: "en"', 7),
        ("lang = 5", "the field lang holds text", "quotes", 7),
        ("year = '2019'", "the field year holds whole numbers", "without quotes", 7),
        ("year > 2019.5", "whole numbers, not 2019.5", "whole number", 7),
        ("year = 9223372036854775808", "whole numbers, not 9223372036854775808", "64 bits", 7),
        ("score < 1e999", "holds numbers, not inf", "number", 8),
        ("open = 1", "holds true or false, not 1", "true or false", 7),
        ("seen = '2019-02-30'", "holds dates", '"2019-12-31"', 7),
        ("at = '2019-01-31'", "holds dates with their time", "+01:00", 5),
        ("at = '2019-01-31T10:00:00'", "holds dates with their time", "+01:00", 5),
        ("seen > 2019-01-31", "holds dates, not 2019", '"2019-12-31"', 7),
        ("sizes = 'x'", "lists of whole numbers", "without quotes", 8),
        ("open < true", "'<' does not go with the field open", "= or !=", 5),
        ("year contains 1", "'contains' is for text and lists", "=", 5),
        ("seen starts with '2'", "'starts with' is for text", "", 5),
        ("lang = 'en' year = 1", "expected `and`, `or` or the end, found 'year'", "", 12),
        ("lang = 'en' and", "expected the name of a field, but it ends", "", 15),
        ("(lang = 'en'", "expected `and`, `or` or `)`, but it ends", "", 12),
        ("lang = 'en", "this quote is never closed", "backslash", 7),
        ("lang", "expected a comparison", "has lang", 4),
        ("lang in 'en'", "expected `(`", "in (1, 2)", 8),
        ("lang in ()", "expected a value, found ')'", "", 9),
        ("lang not = 'x'", "expected `in`", "in front of", 9),
        ("lang = 'x' & year = 1", "'&' is not part of the filter language", "", 11),
        ("year = 12abc", "this is no number", "quotes", 7),
        ("text contains 'x'", "text of the passages cannot be filtered by", "lexical search", 0),
        ("  ", "it is empty", "", 2),
        ("lang = '\ud800'", "lone surrogate", "", 7),
    ],
)
def test_errors_show_the_place(text: str, message: str, hint: str, caret: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, SCHEMA)
    first, shown, mark = caught.value.message.split("\n")
    assert message in first and hint in caught.value.hint
    assert mark.index("^") - 2 == caret and len(shown) - 2 == len(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "an object is empty"),
        ({"and": []}, "`and` expects a list"),
        (
            {"and": [{"has": "lang"}, {"not": {"has": "lnag"}}]},
            "at and[1].not: the index has no field 'lnag'",
        ),
        ({"or": [{"field": "year", "op": "=", "value": None}]}, "whole numbers, not null"),
        ({"field": "year", "op": "=", "value": [1]}, "whole numbers, not a list"),
        ({"field": "year", "op": "in", "value": 1}, "'in' expects a list"),
        ({"field": "year", "op": "in", "value": []}, "no values"),
        ({"field": "year", "op": "like", "value": 1}, "'like' is no operator"),
        ({"field": "year", "op": [], "value": 1}, "is no operator"),
        ({"field": ["year"], "op": "=", "value": 1}, "expects the name of a field"),
        ({"field": "year", "op": "=", "value": 10**5000}, "more than 40 digits"),
        ({"field": "score", "op": "=", "value": 10**5000}, "more than 40 digits"),
        ({"field": "score", "op": "=", "value": float("nan")}, "numbers, not nan"),
        ({"year": {">=": 2019}}, "'year' is not part of the filter language"),
        ({"not": "lang = 'en'"}, "at not: expected an object"),
        ('{"has": "lang"', "is not JSON"),
        ('{"field": "score", "op": "=", "value": NaN}', "NaN is not a value"),
        (17, "a filter is text or a dictionary"),
    ],
)
def test_errors_of_json(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        parse(value, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 40 + "has lang" + ")" * 40,
        "(" * 60_000,
        "not " * 10_000 + "has lang",
        '{"not": ' * 10_000 + '{"has": "lang"}' + "}" * 10_000,
        '{"not": ' * 100 + '{"has": "lang"}' + "}" * 100,
        " or ".join(["has lang"] * 257),
        "year in (" + ", ".join(map(str, range(5000))) + ")",
        "lang = '" + "x" * 5000 + "'",
        "has lang" + " " * 70_000,
        "year = " + "9" * 60_000,
    ],
)
def test_bounds(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, SCHEMA)


def test_within_bounds() -> None:
    text = "(has lang or has year and " * 30 + "has tags" + ")" * 30
    filter = parse(text, SCHEMA)
    assert parse(filter.to_json(), SCHEMA) == filter


def test_unknown_field_lists_all() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("zzz = 1", {})
    assert "doc_id (string)" in caught.value.hint and "Did you mean" not in caught.value.hint

"""The expression form of a filter: tokens and a recursive-descent parser.

or         = and { "or" and }
and        = term { "and" term }
term       = "not" term | "(" or ")" | "has" field | field operator
operator   = ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "starts" "with" ) value
           | [ "not" ] "in" "(" value { "," value } ")"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrieval.errors import ConfigError
from retrieval.filters.fields import Field, Literal, find_field
from retrieval.filters.problem import EMPTY_HINT, MAX_CHARACTERS, MAX_DEPTH, FilterProblem, too_deep
from retrieval.filters.tree import COMPARISONS, And, Condition, Has, Node, Not, Or, check_operator, several

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<quoted>`[^`]+`)
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>[^\W\d][\w.\-]*)
    | (?P<symbol><=|>=|!=|==|[=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = {"and", "or", "not", "has", "in", "true", "false"}
_SHOWN = 60  # characters of the expression on either side of the place


@dataclass(frozen=True)
class _Token:
    kind: str  # text, quoted, number, word, symbol, or end
    text: str
    place: int


def parse_expression(text: str, schema: Mapping[str, str]) -> Node:
    """The tree of an expression. Raises ConfigError, which shows the place."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"the filter has {len(text):,} characters, more than {MAX_CHARACTERS:,}",
            hint="Store what it selects as a metadata field, and filter by that.",
        )
    parser = _Parser(text, schema)
    try:
        return parser.parse()
    except FilterProblem as problem:
        where = _with_caret(text, parser.place)
        raise ConfigError(f"the filter: {problem.message}\n{where}", hint=problem.hint) from problem


def _with_caret(text: str, place: int) -> str:
    start, end = max(0, place - _SHOWN), min(len(text), place + _SHOWN)
    # One column a character: no line breaks, tabs, or what a terminal would obey.
    around = "".join(letter if letter.isprintable() else " " for letter in text[start:end])
    before = "... " if start else ""
    return f"  {before}{around}{' ...' if end < len(text) else ''}\n  {' ' * (len(before) + place - start)}^"


class _Parser:
    """`place` is where the text is read; after an error, what it is about."""

    def __init__(self, text: str, schema: Mapping[str, str]) -> None:
        self._text = text
        self._schema = schema
        self._end = 0  # of the token at hand
        self._depth = 0
        self._token = _Token("end", "", 0)

    @property
    def place(self) -> int:
        return self._token.place

    def parse(self) -> Node:
        self._advance()
        if self._token.kind == "end":
            raise FilterProblem("it is empty", EMPTY_HINT)
        node = self._or()
        if self._token.kind != "end":
            raise self._expected("`and`, `or` or the end")
        return node

    def _advance(self) -> _Token:
        """Go on to the next token; the one that was at hand."""
        passed = self._token
        while self._end < len(self._text) and self._text[self._end].isspace():
            self._end += 1
        start = self._end
        if start == len(self._text):
            self._token = _Token("end", "", start)
            return passed
        match = _TOKEN.match(self._text, start)
        if match is None:
            self._token = _Token("symbol", self._text[start], start)
            raise _unreadable(self._text[start])
        self._token = _Token(match.lastgroup or "", match.group(), start)
        self._end = match.end()
        return passed

    def _is(self, *words: str) -> bool:
        """Whether a word or symbol is at hand; words in any case."""
        return self._token.kind in ("word", "symbol") and self._token.text.lower() in words

    def _take(self, *words: str) -> bool:
        found = self._is(*words)
        if found:
            self._advance()
        return found

    def _or(self) -> Node:
        terms = [self._and()]
        while self._take("or"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _and(self) -> Node:
        terms = [self._term()]
        while self._take("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_deep()
        node = self._one_term()
        self._depth -= 1
        return node

    def _one_term(self) -> Node:
        if self._take("not"):
            return Not(self._term())
        if self._take("("):
            node = self._or()
            if not self._take(")"):
                raise self._expected("`and`, `or` or `)`")
            return node
        if self._take("has"):
            return Has(self._field())
        return self._condition(self._field())

    def _field(self) -> Field:
        token = self._token
        if token.kind == "quoted":
            field = find_field(token.text[1:-1], self._schema)
        elif token.kind == "word" and token.text.lower() not in _RESERVED:
            field = find_field(token.text, self._schema)
        else:
            reserved = "A field of that name stands in backticks." if token.kind == "word" else ""
            raise self._expected("the name of a field", reserved)
        self._advance()
        return field

    def _condition(self, field: Field) -> Node:
        operator = self._operator(field)
        if operator not in ("in", "not in"):
            return Condition(field, operator, self._value(field))
        if not self._take("("):
            raise self._expected("`(`", "Values of `in` stand in parentheses: in (1, 2).")
        values = [self._value(field)]
        while self._take(","):
            values.append(self._value(field))
        if not self._is(")"):
            raise self._expected("`,` or `)`")
        found = several(field, values)
        self._advance()
        return Condition(field, operator, found)

    def _operator(self, field: Field) -> str:
        """The operator at hand, passed, if it goes with the field."""
        operator = "=" if self._is("==") else self._token.text.lower()
        if self._is(*COMPARISONS, "==", "in", "contains"):
            check_operator(field, operator)
            self._advance()
            return operator
        if self._is("starts"):
            check_operator(field, "starts with")
            self._advance()
            if not self._take("with"):
                raise self._expected("`with`")
            return "starts with"
        if self._take("not"):
            if not self._take("in"):
                raise self._expected("`in`", "Otherwise `not` stands in front of the condition.")
            return "not in"
        raise self._expected(
            "a comparison: =, !=, <, <=, >, >=, in, not in, contains or starts with",
            f"To ask for any value, write: has {field.name}" if self._token.kind == "end" else "",
        )

    def _value(self, field: Field) -> Literal:
        token = self._token
        value: Any
        if token.kind == "text":
            value = re.sub(r"\\([\"'\\])", r"\1", token.text[1:-1])
        elif token.kind == "number":
            value = _number(token.text)
        elif self._is("true", "false"):
            value = token.text.lower() == "true"
        else:
            quotes = f'Text stands in quotes: "{token.text[:60]}".' if token.kind == "word" else ""
            raise self._expected("a value", quotes)
        found = field.literal(value)
        self._advance()
        return found

    def _expected(self, what: str, hint: str = "") -> FilterProblem:
        token = self._token
        found = "but it ends" if token.kind == "end" else f"found {token.text[:60]!r}"
        return FilterProblem(f"expected {what}, {found}", hint)


def _unreadable(letter: str) -> FilterProblem:
    if letter in "\"'`":
        return FilterProblem("this quote is never closed", "A quote inside it is written with a backslash.")
    if letter.isdigit() or letter in "+-.":
        return FilterProblem("this is no number", 'Text and dates stand in quotes: "2019-12-31".')
    return FilterProblem(f"{letter!r} is not part of the filter language", 'For example: lang = "en".')


def _number(text: str) -> int | float:
    whole = text.lstrip("+-").isdigit()
    # Python refuses to read integers of thousands of digits; as floats they are infinite, and refused.
    return int(text) if whole and len(text) <= 400 else float(text)

"""Filters: which passages a search may return, as a small expression or the equal JSON.

    lang = "en" and (year >= 2019 or not tags in ("draft", "old")) and has author

| form | meaning | JSON |
| --- | --- | --- |
| `f = v`, `!=`, `<`, `<=`, `>`, `>=` | comparison; text by code points, dates as "2019-12-31", instants as "2019-12-31T23:59:00+01:00" | `{"field": "f", "op": "=", "value": v}` |
| `f in (v, w)`, `f not in (v, w)` | one of the values, none of them | `{"field": "f", "op": "in", "value": [v, w]}` |
| `f contains "x"` | text with this piece in it; a list with this element | `{"field": "f", "op": "contains", "value": "x"}` |
| `f starts with "x"` | text that begins so | `{"field": "f", "op": "starts with", "value": "x"}` |
| `has f` | there is a value | `{"has": "f"}` |
| `not a`, `a and b`, `a or b`, `( )` | in this order of precedence | `{"not": a}`, `{"and": [a, b]}`, `{"or": [a, b]}` |

- Values: text in single or double quotes, where a backslash stands in front of a quote or a backslash that
  is meant as such; numbers; `true` and `false`. Text is compared as it is seen, case included:
  Unicode's normal forms are the same text (NFC), and what is not shown, such as soft hyphens, does not count.
- Fields: the metadata fields of the index, and `doc_id`, `title`, `source`, `passage` (its number in the
  document), `start`, `end`, `position`. Where both have a name, it is the metadata's, and `document.NAME`
  the document's. Other names than letters, digits, `_`, `.`, `-` stand in backticks: `` `first seen` ``.
- A field with a list: a comparison is true if it is true of any element; `!=` and `not in` if no element
  is equal to a value.
- A missing value (null, an empty list, an empty title) makes every comparison false, `!=` and `not in`
  included; `not` is plain negation. So `lang != "de"` leaves out passages without a language, and
  `not lang = "de"` keeps them.
- What is empty ("", {}, [], no terms of `and`, no values of `in`), as a whole or anywhere inside, is an
  error and never stands for everything: who wants everything gives no filter.
"""  # noqa: E501

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Text of HTML pages: cells and blocks apart, nothing twice as long as the page."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.extraction.answers import BadData
from pipelines.extraction.html import extract

PAGES = {
    "<p>One\n two</p><p>three</p>": "One two\n\nthree",
    "<div>a</div><div>b<div>c</div></div>d": "a\nb\nc\nd",
    "a<br>b<br><br>c": "a\nb\n\nc",
    "<b>bo</b>ld and <i> it </i>alic": "bold and it alic",
    "<h1>H</h1>text<ul><li>x<li>y<ul><li>z</ul></ul>end": "H\n\ntext\n* x\n* y\n* z\nend",
    "<table><tr><th>k<th>v<tr><td>1<td>2</table>": "k\tv\n1\t2",
    "<table><tr><td><p>L1<p>L2<td><p>R1<p>R2</table>": "L1\n\nL2\n\nR1\n\nR2",
    "<table><tr><td>a<table><tr><td>b<td>c</table><td>d</table>": "a\n\nb\tc\n\nd",
    "x<pre>\n  a\n    b\n</pre>y": "x\n\n  a\n    b\n\ny",
    "a<script>no</script>b<style>no</style>c<!-- no -->d<template>no</template>": "abcd",
    "a<p style='color: red; DISPLAY : none'>no</p>b": "a\n\nb",
    "a<noscript>no</noscript><p hidden>no<p hidden=until-found>yes": "a\n\nyes",
    "a<p style='visibility: hidden'>no</p>b": "a\n\nb",
    "a<dialog>no</dialog><dialog open>b</dialog><iframe>no</iframe>": "a\nb",
    "<head><title>T</title><meta name=x></head><body>b": "b",
    "<p style='padding-left: 40em'>a<p style='margin:9em'>b": "a\n\nb",
    "a&nbsp;b &lt;c&gt; &amp;amp; &#9731;": "a b <c> &amp; ☃",
    "<dl><dt>t<dd>d</dl>": "t\nd",
    "a\0b": "a\ufffdb",
    "": "",
    "  \n ": "",
}


@pytest.mark.parametrize("page", PAGES)
def test_text_of_a_page(page: str) -> None:
    assert extract(page.encode(), 1000)[1] == PAGES[page]


def test_a_page_comes_as_utf_8_whatever_it_declares() -> None:
    page = "<meta charset=big5><title>Café</title>naïve ☃"
    assert extract(page.encode(), 1000)[:2] == ("Café", "naïve ☃")


HUGE = "9" * 400
HOSTILE = {
    "padding of 400 digits": f"<p style='padding-left: {HUGE}em'>x".encode(),
    "margins": f"<p style='margin: {HUGE}px 99999em; text-indent: 99999em'>x".encode(),
    "nested padding": b"<div style='padding-left: 9999em'>" * 900 + b"x",
    "nested lists": b"<ul><li>x" * 300,
    "nested quotes": b"<blockquote>x" * 900,
    "one wide cell": b"<table><tr><td>" + b"x" * 560_000 + b"<td>y" + b"<tr><td>a<td>b" * 2000,
    "wide cells inside each other": b"<table><tr><td>x" * 150 + b"<td>" + b"w " * 9999,
    "spans": f"<table><tr><td colspan={HUGE} rowspan={HUGE}>x<td>y".encode(),
    "numbers": f"<ol start={HUGE}>".encode() + b"<li>x" * 9999,
    "line breaks": b"<br>" * 9999 + b"x",
    "cells": b"<table><tr>" + b"<td>x" * 9999,
    "entities": b"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><p>&b;&b;",
    "entities of two characters": b"&NotEqualTilde;" * 999,
    "unclosed": b"<p><b><i><u>x" * 80,
    "preformatted": b"<pre>" + b"\n \t" * 9999 + b"x",
    "width of a pre": b"<pre width=99999 cols=99999>x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_text_is_never_twice_as_long_as_the_page(name: str) -> None:
    text = extract(HOSTILE[name], 10**9)[1]
    assert text
    assert len(text) <= 2 * len(HOSTILE[name])


_TAGS = "p div br li ul ol td tr table pre h1 b hr q select option textarea caption dd svg title".split()
_PIECES = st.one_of(
    st.sampled_from([f"<{tag}>" for tag in _TAGS] + [f"</{tag}>" for tag in _TAGS]),
    st.sampled_from(["<p style='padding:9em'>", "&nbsp;", "&lt", "&bne;", "<!--", "-->", "<td colspan=99>"]),
    st.text(max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
@example("<li>" * 50)
@example("<li>a" * 50)
@example("<p>a" * 50)
@example("<q>" * 50)
def test_any_page_is_text_or_bad_data(page: str) -> None:
    data = page.encode("utf-8", "replace")
    try:
        text = extract(data, 10**6)[1]
    except BadData:
        return
    assert len(text) <= 2 * len(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_bad_data(data: bytes) -> None:
    try:
        text = extract(data, 10**6)[1]
    except BadData:
        return
    assert len(text) <= 2 * len(data)


@pytest.mark.parametrize("tag", [b"<div>", b"<b>", b"<ul><li>", b"<table><tr><td>", b"<font>", b"<x-y>"])
def test_deep_nesting_is_refused(tag: bytes) -> None:
    with pytest.raises(BadData, match="nested too deeply"):
        extract(tag * 100_000 + b"x", 10**6)


def test_text_is_bounded_while_it_is_made() -> None:
    with pytest.raises(BadData, match="longer than max_document_bytes"):
        extract(b"<p>word" * 1000, 2000)

"""Titles that say nothing give way: placeholders of programs, titles of drawings, empty front matter."""

import pytest

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.extraction.html import extract
from pipelines.extraction.titles import meaning
from pipelines.sources.document_format import Reading
from pipelines.sources.formats.markdown import FORMAT
from tests.tools.samples.source_samples import COMPRESS, read_all

READING = Reading(CorpusSettings(paths="x"), None, None)


@pytest.mark.parametrize(
    "title",
    [
        "untitled", "Untitled Document", "untitled.pdf", "Untitled-1", "(anonymous)",
        "Microsoft Word - x.doc",
        "Microsoft PowerPoint - talk.ppt", "Document1", "Slide 1", "PowerPoint Presentation", " \n ", "---",
        "file:///C|/a.htm", "New Document", "Unspecified",
    ],
)  # fmt: skip
def test_placeholders_are_no_titles(title):
    assert meaning(title) == ""


@pytest.mark.parametrize(
    "title", ["1984", "2024-01-02", "Page", "Documents of 1848", "The Unknown", "New", "Notes", "Sheet music"]
)
def test_short_titles_may_be_meant(title):
    assert meaning(f" {title}\n") == title


@pytest.mark.parametrize(
    ("front", "title"),
    [
        ("title: >-\n  A long title\n  on two lines", "A long title on two lines"),
        ("title: |\n  Literal", "Literal"), ('title: "Say \\"hello\\" \\u2013 twice"', 'Say "hello" – twice'),
        ("title: 'It''s'", "It's"), ("title: Short # not part of it", "Short"),
        ('title: Why "foo"', 'Why "foo"'),
        ("title: &t Anchored\nslug: *t", "Anchored"), ("Title: Capital", "Capital"), ('"title": A', "A"),
        ("parent:\n  title: no\ntitle: yes", "yes"), ("title: 2024-01-02", "2024-01-02"),
        ("title: 1.10", "1.10"),
        ("title: Foo: bar", "Foo: bar"), ("title: null", "Real"), ("title: ~", "Real"), ('title: ""', "Real"),
        ("title:", "Real"), ("title: Untitled", "Real"), ("title: [a, b]", "Real"), ("tags: [a]", "Real"),
        ("title: " + "[" * 5000, "Real"),
        ("a: &a [x]\n" + "".join(f"b{i}: [*a, *a]\n" for i in range(9)), "Real"),
    ],
)  # fmt: skip
def test_front_matter_is_yaml(front, title):
    for end in ("---", "..."):
        page = f"---\n{front}\n{end}\n# Real\n"
        assert FORMAT.extract(page.encode(), READING)[:2] == (title, page)


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("````\n```\n# no\n```\n# no\n````\n\n# Yes\n", "Yes"),
        ("~~~\n# no\n```\n# no\n~~~\nYes\n===\n", "Yes"),
        ("x\n\n    # no\n\n## Yes *it* `is` [l](u) ##\n", "Yes it is l"),
        ("<!--\n# no\n-->\n\n# Yes\n", "Yes"),
        ("- a\n  ```\n  # no\n  ```\n\n# Yes {#id}\n", "Yes"), ("---\n\n# Yes\n\n---\n", "Yes"),
        ("#no\n", ""),
        ('+++\ntitle = "T \\"q\\""\n+++\n# no', 'T "q"'), ("word " * 5000 + "\n\n# Late\n", "Late"),
        ("# Untitled\n\n# Yes\n", "Yes"), ('<h1 align="center"><a>A &amp; B</a></h1>\n\n# no\n', "A & B"),
        ("---\r\ntitle: A\r\n---\r\n# no", "A"), ("", ""),
    ],
)  # fmt: skip
def test_headings_are_those_of_a_parser(page, title):
    assert FORMAT.extract(page.encode(), READING).title == title


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>Untitled Document</title><h1>Real <b>one</b></h1>x", "Real one"),
        ("<body><svg><title>Icon</title></svg><h2>Real</h2>", "Real"),
        ("<svg><title>Icon</title></svg><title>Page</title>x", "Page"),
        ("<title> </title><h1 hidden>no</h1><div style='display:none'><h1>no</h1></div><h3>Yes</h3>", "Yes"),
        ("<h1>" + "long " * 5000, ("long " * 5000).strip()), ("<p>x", ""),
    ],
)  # fmt: skip
def test_titles_of_pages(page, title):
    found = extract(page.encode(), 100_000)[0]
    assert found == title or (len(title) > 5000 and title.startswith(found) and len(found) > 300)


def test_a_files_name_keeps_its_dots(tmp_path):
    for name, data in (("v1.2 final.txt", b"x"), ("b.2020.md.gz", COMPRESS[".gz"](b"x")), (".x.txt", b"y")):
        (tmp_path / name).write_bytes(data)
    assert [d.title for d in read_all(tmp_path)[0]] == ["b.2020", "v1.2 final"]

"""PDFs: pages turned any way, columns, forms, and pages that are damaged."""

import pytest

from pipelines.extraction.answers import BadData
from pipelines.extraction.pdf import extract
from tests.tools.samples.pdf_samples import FIRST_FREE, pdf_of, text_at

LINES = [
    "The harbour master keeps a book of every vessel",
    "that enters the basin. Each entry names",
    "the cargo.",
]
UPRIGHT = text_at(*((70, 700 - 16 * i, line) for i, line in enumerate(LINES)))
UPWARDS = text_at(*((100 + 16 * i, 70, line) for i, line in enumerate(LINES)), turn=b"0 1 -1 0")
DOWNWARDS = text_at(*((500 - 16 * i, 700, line) for i, line in enumerate(LINES)), turn=b"0 -1 1 0")


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("drawn", [UPRIGHT, UPWARDS, DOWNWARDS], ids=["upright", "upwards", "downwards"])
def test_lines_are_in_order_however_a_page_is_turned(drawn, rotate):
    assert extract(pdf_of([drawn], rotate=rotate), 10_000).text.split("\n") == LINES


LEFT = ["Left one begins here and", "goes on to the second line", "and then it comes to its end."]
RIGHT = ["Right part opens here and", "continues on the next line", "and closes with this line."]


def _rows(*columns, apart=260, down=0):
    return [
        (60 + apart * j, 700 - down - 14 * i, text)
        for i, row in enumerate(zip(*columns, strict=True))
        for j, text in enumerate(row)
    ]


def test_columns_that_are_written_row_by_row_are_read_one_after_the_other():
    page = [(60, 730, "A heading that is as wide as both of the columns and stands above them")]
    page += [*_rows(LEFT, RIGHT), (60, 640, "A line below that is as wide as both of the columns are, too")]
    text = extract(pdf_of([text_at(*page)]), 10_000).text.split("\n")
    assert text == [page[0][2], *LEFT, *RIGHT, page[-1][2]]
    three = [[f"{name} {line}" for line in LEFT] for name in ("1", "2", "3")]
    text = extract(pdf_of([text_at(*_rows(*three, apart=180))]), 10_000).text.split("\n")
    assert text == [line for column in three for line in column]


def test_columns_in_order_and_tables_stay_as_they_are():
    in_order = sorted(_rows(LEFT, RIGHT), key=lambda place: place[0])
    assert extract(pdf_of([text_at(*in_order)]), 10_000).text.split() == " ".join([*LEFT, *RIGHT]).split()
    table = _rows(
        ["Name", "Ann", "Bob", "Cy"], ["Age", "31", "42", "53"], ["Town", "Bath", "Cork", "Rome"], apart=120
    )
    text = extract(pdf_of([text_at(*table)]), 10_000).text
    assert [line.split() for line in text.split("\n")] == [
        ["Name", "Age", "Town"], ["Ann", "31", "Bath"], ["Bob", "42", "Cork"], ["Cy", "53", "Rome"],
    ]  # fmt: skip


def test_a_damaged_page_costs_that_page_alone():
    found = extract(pdf_of([text_at((70, 700, "first")), None, text_at((70, 700, "third"))]), 1000)
    assert found.text == "first\n\nthird"
    assert found.notes == ("pages of a PDF that cannot be read were left out: 2",)
    with pytest.raises(BadData, match="whose pages cannot be read"):
        extract(pdf_of([None, None]), 1000)


def test_what_is_written_into_a_form_or_beside_the_text_is_text():
    fields = [
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (vessel) /V (Sea Otter IV) /Rect [70 600 200 620] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Ch /Ff 131072 /T (berth) /V (North) /Opt [(North) (South)] "
        b"/Rect [70 570 200 590] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (empty) /Rect [70 540 200 560] >>",
        b"<< /Type /Annot /Subtype /Text /Contents (Remember the fuel) /Rect [70 510 200 530] >>",
        b"<< /Type /Annot /Subtype /Popup /Contents (no) /Rect [70 480 200 500] >>",
    ]
    numbers = b" ".join(b"%d 0 R" % (FIRST_FREE + i) for i in range(len(fields)))
    form = pdf_of(
        [text_at((70, 700, "Name of the vessel:"))], page=b"/Annots [%s]" % numbers,
        catalog=b"/AcroForm << /Fields [%s] >>" % numbers, more=fields,
    )  # fmt: skip
    assert extract(form, 1000).text == "Name of the vessel:\nSea Otter IV\nNorth\nRemember the fuel"


def test_pictures_of_text_are_told():
    picture = (
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Length 1 >>\nstream\nx\nendstream"
    )
    scanned = b"q 600 0 0 800 0 0 cm /Im1 Do Q"
    pictures = b"/XObject << /Im1 %d 0 R >>" % FIRST_FREE
    data = pdf_of([text_at((70, 700, "typed")), scanned, b""], resources=pictures, more=[picture])
    assert extract(data, 1000).notes == (
        "pages of a PDF with a picture and no text, which OCR would read: 2",
    )  # fmt: skip


def test_titles_of_programs_are_none():
    data = pdf_of([UPRIGHT], title="Microsoft Word - Document1")
    assert extract(data, 1000).title == ""

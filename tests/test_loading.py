"""Every format, read from real files through the real worker."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import hostile
import openpyxl
import pytest

from rag_core import Document
from rag_core.config import LimitsConfig
from rag_core.loading import SUPPORTED_SUFFIXES, load_document
from rag_core.loading.formats import MEDIA_TYPES
from rag_core.loading.numberformats import format_value
from rag_core.records import Progress

LIMITS = LimitsConfig()


def load(folder: Path, name: str, content: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    document = load_document(path, LIMITS)
    check_spans(document)
    return document


def check_spans(document: Document) -> None:
    assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
    assert document.pages[0].start == 0
    assert document.pages[-1].end == len(document.text)
    assert all(left.end == right.start for left, right in pairwise(document.pages))
    for heading in document.headings:
        assert " ".join(document.text[heading.start : heading.end].split()) == heading.title
        assert 1 <= heading.level <= 6
    for table in document.tables:
        rows = document.text[table.start : table.end]
        assert rows == rows.strip("\n")
        if table.header_end:
            assert table.header_start == table.start
            assert document.text[table.header_start : table.header_end] == rows.split("\n")[0]


def headings(document: Document) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in document.headings]


def tables(document: Document) -> list[list[str]]:
    return [document.text[table.start : table.end].split("\n") for table in document.tables]


def header(document: Document, number: int = 0) -> str:
    table = document.tables[number]
    return document.text[table.header_start : table.header_end]


# What is the same for all ---------------------------------------------------------------------------------------------


def test_identity_is_of_type_and_content(tmp_path: Path) -> None:
    content = b"Same words, here and there."
    first = load(tmp_path, "a.txt", content)
    assert first.id == hashlib.sha256(b"text/plain\0" + content).hexdigest()
    assert load(tmp_path, "b.TXT", content).id == first.id
    assert load(tmp_path, "a.md", content).id != first.id
    assert (first.byte_count, first.media_type, first.name) == (len(content), "text/plain", "a.txt")


def test_every_suffix_has_a_reader(tmp_path: Path) -> None:
    contents = {
        ".pdf": hostile.pdf_of("Words"),
        ".docx": hostile.word_of("Words"),
        ".xlsx": hostile.book_of([["Words"]]),
    }
    for suffix in SUPPORTED_SUFFIXES:
        document = load(tmp_path, f"a{suffix}", contents.get(suffix, b"Words"))
        assert "Words" in document.text
        assert document.media_type == MEDIA_TYPES[suffix]


def test_the_given_name_says_the_format(tmp_path: Path) -> None:
    (tmp_path / "upload.bin").write_text("# Title\n\nWords")
    document = load_document(tmp_path / "upload.bin", LIMITS, name="/home/someone/notes.md")
    assert document.name == "notes.md"
    assert headings(document) == [(1, "Title")]


def test_progress_counts_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(hostile.pdf_of(*["words " * 200] * 12))
    steps: list[Progress] = []
    document = load_document(path, LIMITS, on_progress=steps.append)
    assert document.page_count == 12
    assert {step.stage for step in steps} == {"reading"}
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total, steps[-1].detail) == (12, 12, "a.pdf")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    from rag_core import CorruptDocumentError
    from rag_core.loading import opening

    path = tmp_path / "a.txt"
    path.write_text("Before.")
    with pytest.MonkeyPatch.context() as patch:
        hashes = opening._hashes

        def then_change(*arguments: object) -> object:
            result = hashes(*arguments)  # type: ignore[arg-type]
            path.write_text("After!!")
            return result

        patch.setattr(opening, "_hashes", then_change)
        with pytest.raises(CorruptDocumentError, match="changed"):
            load_document(path, LIMITS)


# Text -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Zürich, 5 € – naïve"),
        ("utf-8-sig", "Zürich, 5 €"),
        ("utf-16", "Zürich, 5 €"),
        ("utf-16-le", "Plain words without a mark in them, and then some more words"),
        ("utf-16-be", "Plain words without a mark in them, and then some more words"),
        ("utf-32", "Zürich, 5 €"),
        ("cp1252", "The café in Zürich costs 5 € – “naïve”, said the owner, and went on with the façade."),
        ("cp1251", "Чистая прибыль компании за год выросла на двенадцать процентов по сравнению с прошлым годом. " * 5),
        ("shift_jis", "当社の純利益は前年比で十二パーセント増加しました。株主への配当も増やす予定です。" * 5),
    ],
)
def test_encodings_are_detected(encoding: str, text: str, tmp_path: Path) -> None:
    assert load(tmp_path, "a.txt", text.encode(encoding)).text == text.strip()


def test_a_few_damaged_bytes_are_repaired_and_said(tmp_path: Path) -> None:
    document = load(tmp_path, "a.txt", "Geschäftsführer für Zürich Öl Übung Äpfel ".encode() * 3 + b"\xff end")
    assert document.text.endswith("\ufffd end")
    assert "1 damaged" in document.warnings[0]


def test_text_is_kept_line_for_line(tmp_path: Path) -> None:
    text = "First line\r\n  indented\rthird\n\n\nafter a gap\ttab"
    assert load(tmp_path, "a.txt", text).text == "First line\n  indented\nthird\n\n\nafter a gap\ttab"


def test_headings_of_text(tmp_path: Path) -> None:
    text = (
        "Report\n======\n\nWords of the report.\n\nINCOME STATEMENT\n\nRevenue rose.\n\n2.1 Cash flows\n\nWords.\n\n"
        "Item 7. Risk factors\n\nWords\n-----\nare not\n\n3 apples were eaten by the chief executive officer of the "
        "company\n\nTOTAL 1,234,567 8,901,234\n\nEND."
    )
    document = load(tmp_path, "a.txt", text)
    assert headings(document) == [
        (1, "Report"),
        (1, "INCOME STATEMENT"),
        (2, "2.1 Cash flows"),
        (1, "Item 7. Risk factors"),
        (2, "Words"),
    ]


# Markdown -------------------------------------------------------------------------------------------------------------

MARKDOWN = """---
title: Notes
---
# Annual *report* #

Revenue **rose** to [EUR 5m](https://example.org/x "t") in `a_b*c*`, 2*3*4 and snake_case_name.

Details
-------

| Item | 2023 | 2022 |
|:-----|-----:|-----:|
| Revenue | 1,234 | 1,100 |
| Costs \\| fees | (500) | |

> ### Quoted

```python
# not a heading
| a | b |
```

* a point
1. another &amp; more<br>

***

[id]: https://example.org
"""


def test_markdown(tmp_path: Path) -> None:
    document = load(tmp_path, "a.md", MARKDOWN)
    assert headings(document) == [(1, "Annual report"), (2, "Details"), (3, "Quoted")]
    assert tables(document) == [["Item | 2023 | 2022", "Revenue | 1,234 | 1,100", "Costs | fees | (500)"]]
    assert header(document) == "Item | 2023 | 2022"
    assert "Revenue rose to EUR 5m in a_b*c*, 2*3*4 and snake_case_name." in document.text
    assert "# not a heading\n| a | b |" in document.text
    assert "* a point\n1. another & more" in document.text
    assert "example.org" not in document.text


# Separated values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str, tmp_path: Path) -> None:
    rows = [["Month", "NAV", "Note"], ["January", "118.86", "a b"], ["February", "119.02", ""]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    document = load(tmp_path, "a.csv", text)
    assert tables(document) == [["Month | NAV | Note", "January | 118.86 | a b", "February | 119.02"]]
    assert header(document) == "Month | NAV | Note"


def test_quoted_cells_keep_their_row(tmp_path: Path) -> None:
    document = load(tmp_path, "a.csv", 'Name,Value\n"Smith, ""J""\nLtd","1,234"\n\nOther,5\n')
    assert document.text == 'Name | Value\nSmith, "J" Ltd | 1,234\nOther | 5'


def test_tabs_alone_part_a_tsv(tmp_path: Path) -> None:
    assert load(tmp_path, "a.tsv", "a,b\tc\n1,5\t2\n").text == "a,b | c\n1,5 | 2"


def test_rows_without_a_header_have_none(tmp_path: Path) -> None:
    document = load(tmp_path, "a.csv", "1,2,3\n4,5,6\n")
    assert header(document) == ""


# HTML -----------------------------------------------------------------------------------------------------------------


def test_html(tmp_path: Path) -> None:
    document = load(
        tmp_path,
        "a.html",
        "<!DOCTYPE html><html><head><title>Tab</title></head><body><h1>Annual <b>report</b></h1><p>Revenue\n  rose<br>by "
        "12&nbsp;percent. &lt;b&gt;</p><ul><li>one</li><li>two</li></ul><h2>Results</h2><table><thead><tr><th>Item</th>"
        "<th>2023</th></tr></thead><tr><td>Revenue</td><td>1,234</td></tr></table><pre>a  b\nc</pre></body></html>",
    )
    assert headings(document) == [(1, "Annual report"), (2, "Results")]
    assert document.text == (
        "Annual report\n\nRevenue rose\nby 12 percent. <b>\n\n- one\n- two\n\nResults\n\nItem | 2023\nRevenue | 1,234\n\na b\nc"
    )
    assert header(document) == "Item | 2023"


def test_a_statement_as_regulators_get_it(tmp_path: Path) -> None:
    """Figures whose signs stand in cells of their own, with empty columns between."""
    document = load(
        tmp_path,
        "a.htm",
        "<table><tr><td></td><td></td><td colspan=2>2023</td><td></td><td colspan=2>2022</td></tr>"
        "<tr><td>Revenue</td><td></td><td>$</td><td>1,234</td><td></td><td>$</td><td>1,100</td></tr>"
        "<tr><td>Loss</td><td></td><td></td><td>(56</td><td>)</td><td></td><td>(40</td><td>)</td></tr></table>",
    )
    assert tables(document) == [["| 2023 | 2022", "Revenue | $1,234 | $1,100", "Loss | (56) | (40)"]]
    assert header(document) == "| 2023 | 2022"


def test_cells_over_several_rows_stand_in_each(tmp_path: Path) -> None:
    document = load(
        tmp_path,
        "a.html",
        "<table><tr><th>Region<th>Year<th>Sales<tr><td rowspan=2>Europe<td>2022<td>5<tr><td>2023<td>6</table>",
    )
    assert tables(document) == [["Region | Year | Sales", "Europe | 2022 | 5", "Europe | 2023 | 6"]]


def test_tables_that_lay_out_a_page_are_text(tmp_path: Path) -> None:
    document = load(
        tmp_path, "a.html", "<table><tr><td><h1>Title</h1></td><td><table><tr><td>A<td>1<tr><td>B<td>2</table></table>"
    )
    assert headings(document) == [(1, "Title")]
    assert tables(document) == [["A | 1", "B | 2"]]


# PDF ------------------------------------------------------------------------------------------------------------------


def page_of(rows: list[list[tuple[int, str]]], leading: int = 14) -> bytes:
    """Return a PDF of one page with the cells of each row at the given distances from the left, in points."""
    lines = [
        hostile.pdf_line(text, x=x, y=720 - leading * number) for number, row in enumerate(rows) for x, text in row
    ]
    return hostile.pdf_with_content(b"".join(lines))


def test_tables_that_follow_each_other_are_told_apart(tmp_path: Path) -> None:
    document = load(
        tmp_path,
        "a.pdf",
        page_of(
            [
                [(72, "In thousands"), (300, "2023"), (400, "2022")],
                [(72, "Inventories"), (300, "1,234"), (400, "1,100")],
                [(72, "Accumulated depreciation")],
                [(72, "At 1 January"), (300, "56"), (400, "40")],
                [(72, "Payments fall due as follows:")],
                [(72, "Due"), (300, "2023"), (400, "2022")],
                [(72, "Within one year"), (300, "6"), (400, "5")],
            ]
        ),
    )
    assert tables(document) == [
        [
            "In thousands | 2023 | 2022",
            "Inventories | 1,234 | 1,100",
            "Accumulated depreciation",
            "At 1 January | 56 | 40",
        ],
        ["Due | 2023 | 2022", "Within one year | 6 | 5"],
    ]
    assert "\n\nPayments fall due as follows:\n\n" in document.text


def test_column_names_over_two_lines_are_joined(tmp_path: Path) -> None:
    rows = [
        [(300, "Land and"), (400, "Plant and")],
        [(72, "In thousands"), (300, "buildings"), (400, "machinery"), (500, "Total")],
        [(72, "Cost"), (300, "67,290"), (400, "94,080"), (500, "161,370")],
        [(72, "Additions"), (300, "-"), (400, "(5)"), (500, "(5)")],
    ]
    document = load(tmp_path, "a.pdf", page_of([*rows, *rows]))
    table = ["In thousands | Land and buildings | Plant and machinery | Total", "Cost | 67,290 | 94,080 | 161,370"]
    assert tables(document) == [[*table, "Additions | - | (5) | (5)"]] * 2
    assert header(document, 1) == table[0]


def test_a_sentence_in_large_letters_is_no_heading(tmp_path: Path) -> None:
    sentence = "This sentence stands in large letters and yet it is no title at all."
    lines = [hostile.pdf_line("A title", y=740, size=18), hostile.pdf_line(sentence, y=700, size=14)]
    lines += [hostile.pdf_line("The text of the page is smaller, and there is more of it.", y=y) for y in (660, 646)]
    document = load(tmp_path, "a.pdf", hostile.pdf_with_content(b"".join(lines)))
    assert headings(document) == [(1, "A title")]
    assert sentence in document.text


# Word -----------------------------------------------------------------------------------------------------------------


def test_word(tmp_path: Path) -> None:
    document = load(tmp_path, "a.docx", hostile.word_report())
    assert headings(document) == [(1, "Annual report"), (1, "Results"), (2, "Details")]
    assert "Revenue rose by 12 percent.\n\n- First point\n- Second point\n\nDetails" in document.text
    assert tables(document) == [
        ["Item | 2023 | 2022", "Revenue | 1,234 | 1,100", "Costs | (500) | (450)", "Costs | 1 | 2"]
    ]
    assert header(document) == "Item | 2023 | 2022"
    assert document.text.endswith("After the table.")


def test_word_beyond_plain_paragraphs(tmp_path: Path) -> None:
    """Content controls, fields, breaks, text boxes (once, though they are stored twice), and tables in tables."""
    box = "<w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent>"
    alternate = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice>'
        f"{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    document = load(
        tmp_path,
        "a.docx",
        hostile.word_with_body(
            "<w:sdt><w:sdtContent><w:p><w:r><w:t>Controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
            "<w:p><w:r><w:t>Page </w:t></w:r><w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>7</w:t><w:br/><w:t>next"
            f"</w:t></w:r></w:p><w:p><w:r><w:t>Beside</w:t>{alternate}</w:r></w:p>"
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>B</w:t>"
            "</w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>C</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>"
        ),
    )
    assert document.text == "Controlled\n\nPage 7\nnext\n\nBeside\n\nIn a box\n\nA | B C"


# Excel ----------------------------------------------------------------------------------------------------------------


def test_excel(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Income"
    for row in (
        ["Alder Ltd"],
        ["In thousands"],
        [None, 2023, 2022],
        ["Revenue", 1234.5, 1100],
        ["Margin", 0.153, 0.1449],
        ["Loss", -56, None],
        [],
        ["Assets", 5, 6],
        [],
        ["Second table"],
        [],
        ["Name", "Since"],
        ["Elke"],
    ):
        sheet.append(row)
    for cell in ("B4", "C4", "B6"):
        sheet[cell].number_format = "#,##0;(#,##0)"
    for cell in ("B5", "C5"):
        sheet[cell].number_format = "0.0%"
    import datetime

    sheet["B13"] = datetime.date(2019, 3, 31)
    sheet["B13"].number_format = "d mmm yyyy"
    sheet.merge_cells("A15:A16")
    sheet["A15"], sheet["B15"], sheet["B16"] = "Both", "x", "y"
    book.create_sheet("Empty")
    second = book.create_sheet("Balance | sheet\u202e")
    second["C5"] = "Far from the corner"
    document = load(tmp_path, "a.xlsx", hostile.saved(book))
    assert [page.label for page in document.pages] == ["Income", "Empty", "Balance | sheet"]
    assert headings(document) == [(1, "Income"), (1, "Balance | sheet")]
    assert tables(document)[0] == [
        "| 2023 | 2022",
        "Revenue | 1,235 | 1,100",
        "Margin | 15.3% | 14.5%",
        "Loss | (56)",
        "Assets | 5 | 6",
    ]
    assert header(document) == "| 2023 | 2022"
    assert "Income\n\nAlder Ltd\nIn thousands\n\n| 2023" in document.text
    assert "Second table\n\nName | Since\nElke | 31 Mar 2019\nBoth | x\nBoth | y" in document.text
    assert document.text.endswith("Far from the corner")


def test_formulas_without_a_value_are_said(tmp_path: Path) -> None:
    document = load(tmp_path, "a.xlsx", hostile.book_of([["Item", "Value"], ["Sum", "=1+2"], ["Known", 7]]))
    assert "Known | 7" in document.text
    assert document.warnings == ("1 formulas on sheet Sheet have no stored value; open it in Excel and save it again",)


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (1234567, "#,##0,", "1,235"),
        (12_345_678, '0.0,,"m"', "12.3m"),
        (-1234, "#,##0_);(#,##0)", "(1,234)"),
        (-1234, "#,##0_);[Red](#,##0)", "(1,234)"),
        (-0.5, "0%", "-50%"),
        (0.153, "0.0%", "15.3%"),
        (0.5, "0", "1"),
        (2.5, "0", "3"),
        (-0.4, "0", "0"),
        (0, '#,##0;(#,##0);"-"', "-"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (1234.5, "[$USD] #,##0", "USD 1,235"),
        (5, '"Q"0', "Q5"),
        (7, "000", "007"),
        (0.5, "#.##", ".5"),
        (1.5, "0.0##", "1.5"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.00099999, "0.0E+00", "1.0E-03"),
        (1234567.0, "General", "1234567"),
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "1.00000E+20"),
        (150, '[>100]"high";"low"', "high"),
        (50, '[>100]"high";"low"', "low"),
        (True, "General", "TRUE"),
        ("text", '0;0;0;"<"@">"', "<text>"),
        (5, ";;;", ""),
        (10**400, "0.00", str(10**400) + ".00"),
        (float("inf"), "0", "inf"),
        (3, "0.00;;;;;;", "3.00"),
        (3, '0"', '3"'),
        (None, "0", ""),
    ],
)
def test_numbers_are_shown_as_their_format_says(value: object, number_format: str, shown: str) -> None:
    assert format_value(value, number_format) == shown  # type: ignore[arg-type]


def test_dates_are_shown_as_their_format_says() -> None:
    from datetime import date, datetime, time, timedelta

    moment = datetime(2024, 3, 5, 14, 7, 9)
    for value, number_format, shown in (
        (moment, "yyyy-mm-dd", "2024-03-05"),
        (moment, "dd/mm/yy hh:mm", "05/03/24 14:07"),
        (moment, "d mmmm yyyy", "5 March 2024"),
        (moment, "ddd, mmm d", "Tue, Mar 5"),
        (moment, "h:mm AM/PM", "2:07 PM"),
        (moment, "mm:ss", "07:09"),
        (date(2024, 3, 5), "mm-dd-yy", "2024-03-05"),
        (date(2024, 3, 5), "General", "2024-03-05"),
        (time(9, 5), "hh:mm", "09:05"),
        (timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
    ):
        assert format_value(value, number_format) == shown


# Limits come from the caller ------------------------------------------------------------------------------------------


def test_limits_are_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 100)
    assert load_document(path, replace(LIMITS, characters=100, file_bytes=100, pages=1)).character_count == 100

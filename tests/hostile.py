"""Builds files of every format in code, good ones and hostile ones; nothing here is read from disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import docx
import openpyxl
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from fpdf import FPDF
from PIL import Image

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def picture() -> bytes:
    target = io.BytesIO()
    Image.new("L", (8, 8), 200).save(target, "PNG")
    return target.getvalue()


PNG = picture()

# Zip containers -------------------------------------------------------------------------------------------------------


def zip_of(parts: dict[str, bytes | str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def repacked(data: bytes, changes: dict[str, bytes]) -> bytes:
    """Return a zip archive with some parts replaced or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    return zip_of(parts | changes)


def zip_bomb(required: str, size: int = 600 * 1024 * 1024) -> bytes:
    """Return an Office-like archive whose main part unpacks to `size` bytes of spaces."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(required, "w") as part:
        block = b" " * (4 * 1024 * 1024)
        for _ in range(size // len(block)):
            part.write(block)
    return target.getvalue()


def zip_of_many(required: str, count: int) -> bytes:
    return zip_of({required: "<x/>"} | {f"part{number}.xml": "" for number in range(count)})


def zip_with_twins(required: str) -> bytes:
    """Return an archive with two parts of one name, of which different readers would take different ones."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(required, "<a/>")
        archive.writestr(required.replace("w", "v", 1), "<b/>")
    data = target.getvalue()
    return data.replace(required.replace("w", "v", 1).encode(), required.encode())


def zip_with_password(data: bytes) -> bytes:
    """Return a zip archive with the encryption flag of every entry set."""
    changed = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(magic)
        while place >= 0:
            changed[place + offset] |= 1
            place = changed.find(magic, place + 4)
    return bytes(changed)


def ole_with(*streams: str) -> bytes:
    """Return what the start and directory of an old Office container look like."""
    return OLE_MAGIC + b"\x00" * 500 + b"".join(name.encode("utf-16-le") + b"\x00" * 64 for name in streams)


# PDF ------------------------------------------------------------------------------------------------------------------


def raw_pdf(objects: Sequence[bytes], root: int = 1) -> bytes:
    """Return a PDF of the numbered objects with a right cross-reference table."""
    data, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, table)


def pdf_with_content(content: bytes, page: bytes = b"") -> bytes:
    """Return a PDF of one page (612 by 792 points, F1 is Helvetica) with a content stream."""
    return raw_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 612 792] >>",
            b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> " + page + b" >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        ]
    )


def pdf_line(text: str, x: float = 72, y: float = 700, size: float = 11, before: str = "") -> bytes:
    return f"BT {before} /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n".encode("cp1252")


def pdf_of(*pages: str, password: str | None = None) -> bytes:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=11)
    for text in pages:
        pdf.add_page()
        pdf.multi_cell(0, 6, text)
    if password is not None:
        pdf.set_encryption(owner_password="owner", user_password=password)
    return bytes(pdf.output())


def pdf_scan(pages: int = 1, text_under: str = "") -> bytes:
    """Return pages that are one picture each, with invisible recognised text where given."""
    pdf = FPDF()
    for _ in range(pages):
        pdf.add_page()
        pdf.image(io.BytesIO(PNG), 0, 0, pdf.w, pdf.h)
        if text_under:
            pdf.set_font("Helvetica", size=11)
            with pdf.local_context(text_mode="INVISIBLE"):
                pdf.cell(0, 6, text_under)
    return bytes(pdf.output())


def pdf_with_page_loop() -> bytes:
    """Return a PDF whose page tree contains itself."""
    return raw_pdf(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2000000 /Parent 2 0 R >>"]
    )


def pdf_with_count(count: int) -> bytes:
    """Return a PDF of one page that claims to have `count`."""
    content = pdf_line("One page only")
    return raw_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count %d /MediaBox [0 0 612 792] >>" % count,
            b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def pdf_with_actions() -> bytes:
    """Return a PDF that would run a script and a program when it is opened."""
    content = pdf_line("Text of a page with actions")
    return raw_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (app.alert\\('x'\\);while\\(1\\){}) >>"
            b" /AA << /WC << /S /Launch /F (/bin/sh) >> >> >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 612 792] >>",
            b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def pdf_with_hidden_text() -> bytes:
    """Return a page with one visible line, white letters on blue, and five kinds of text that nobody can see."""
    return pdf_with_content(
        pdf_line("Visible net asset value 120.00", y=700)
        + pdf_line("SECRET white on white", y=680, before="1 1 1 rg")
        + pdf_line("SECRET mode three", y=660, before="0 g 3 Tr")
        + pdf_line("SECRET outside", x=-500, y=640, before="0 Tr")
        + pdf_line("SECRET above", y=2_000)
        + pdf_line("SECRET tiny", y=620, size=0.3)
        + b"0 0 0.6 rg 60 570 300 30 re f\n"
        + pdf_line("White on blue", y=580, before="1 1 1 rg")
    )


# Word -----------------------------------------------------------------------------------------------------------------


def saved(document: object) -> bytes:
    target = io.BytesIO()
    document.save(target)  # type: ignore[attr-defined]
    return target.getvalue()


def word_of(*paragraphs: str) -> bytes:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    return saved(document)


def word_report() -> bytes:
    """Return a document with a title, headings, a list, and a table with merged cells."""
    document = docx.Document()
    document.add_heading("Annual report", 0)
    document.add_heading("Results", 1)
    document.add_paragraph("Revenue rose by 12 percent.")
    document.add_paragraph("First point", style="List Bullet")
    document.add_paragraph("Second point", style="List Bullet")
    document.add_heading("Details", 2)
    table = document.add_table(rows=4, cols=3)
    for row, cells in zip(
        table.rows,
        (("Item", "2023", "2022"), ("Revenue", "1,234", "1,100"), ("Costs", "(500)", "(450)"), ("", "1", "2")),
        strict=True,
    ):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    table.cell(2, 0).merge(table.cell(3, 0))
    document.add_paragraph("After the table.")
    return saved(document)


def word_with_hidden_text() -> bytes:
    document = docx.Document()
    paragraph = document.add_paragraph("Visible text.")
    paragraph.add_run(" SECRET vanish").font.hidden = True
    white = paragraph.add_run(" SECRET white")
    white.font.color.rgb = RGBColor(255, 255, 255)
    paragraph.add_run(" SECRET tiny").font.size = Pt(1)
    style = document.styles.add_style("Unseen", 1)
    style.font.hidden = True
    document.add_paragraph("SECRET style", style="Unseen")
    deleted = document.add_paragraph("Kept. ")
    change = deleted._p.makeelement(qn("w:del"), {qn("w:id"): "1", qn("w:author"): "a"})
    run = deleted.add_run("SECRET deleted")._r
    change.append(run)
    deleted._p.append(change)
    inserted = deleted._p.makeelement(qn("w:ins"), {qn("w:id"): "2", qn("w:author"): "a"})
    inserted.append(deleted.add_run("Inserted.")._r)
    deleted._p.append(inserted)
    return saved(document)


def word_with_body(body: str) -> bytes:
    """Return a document whose body is the given XML."""
    xml = f'<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    return repacked(word_of("x"), {"word/document.xml": xml.encode()})


def word_with_entities() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "boom">{entities}]><w:document xmlns:w="{W}"><w:body><w:p><w:r>'
        "<w:t>&e11;</w:t></w:r></w:p></w:body></w:document>"
    )
    return repacked(word_of("x"), {"word/document.xml": xml.encode()})


def word_with_external_entity(encoding: str = "utf-8") -> bytes:
    xml = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
        f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>&f;</w:t></w:r></w:p></w:body></w:document>'
    )
    return repacked(word_of("x"), {"word/document.xml": xml.encode(encoding)})


def word_with_nested_tables(depth: int) -> bytes:
    inner = "<w:p><w:r><w:t>Deep inside</w:t></w:r></w:p>"
    return word_with_body("<w:tbl><w:tr><w:tc>" * depth + inner + "</w:tc></w:tr></w:tbl>" * depth)


def word_with_remote_template(address: str) -> bytes:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"
    relations = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{kind}" Target="{address}" TargetMode="External"/></Relationships>'
    )
    return repacked(word_of("Harmless text."), {"word/_rels/settings.xml.rels": relations.encode()})


# Excel ----------------------------------------------------------------------------------------------------------------


def book_of(rows: Sequence[Sequence[object]], title: str = "Sheet") -> bytes:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(list(row))
    return saved(book)


def book_with_hidden_parts() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Shown"
    for row in (
        ("Item", "SECRET column", "2023"),
        ("Revenue", "SECRET a", 1234),
        ("SECRET row", "b", 5),
        ("Costs", "c", -7),
    ):
        sheet.append(row)
    sheet.row_dimensions[3].hidden = True
    sheet.column_dimensions["B"].hidden = True
    sheet["D2"] = "SECRET white"
    sheet["D2"].font = openpyxl.styles.Font(color="FFFFFFFF")
    sheet["E2"] = 4711
    sheet["E2"].number_format = ";;;"
    for state in ("hidden", "veryHidden"):
        other = book.create_sheet(f"SECRET {state}")
        other["A1"] = "SECRET cell"
        other.sheet_state = state
    return saved(book)


def book_with_sheet(xml_rows: str, dimension: str = "A1:XFD1048576", after: str = "") -> bytes:
    """Return a workbook whose only sheet has the given rows as XML and claims the given dimension."""
    xml = (
        '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f'<dimension ref="{dimension}"/><sheetData>{xml_rows}</sheetData>{after}</worksheet>'
    )
    return repacked(book_of([["x"]]), {"xl/worksheets/sheet1.xml": xml.encode()})


def book_with_entities() -> bytes:
    xml = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "boom"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>&b;</t></si></sst>'
    )
    return repacked(book_of([["x"]]), {"xl/sharedStrings.xml": xml.encode()})

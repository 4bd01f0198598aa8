"""Hostile files: each is refused with its own error, or read without what would harm. All go through the real worker."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hostile
import psutil
import pytest

from rag_core import (
    CorruptDocumentError,
    Document,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    ScannedDocumentError,
    UnsupportedFormatError,
)
from rag_core.config import LimitsConfig
from rag_core.loading import drafting, load_document
from rag_core.loading.worker import read_content
from rag_core.records import Progress

LIMITS = LimitsConfig()
JUNK = random.Random(7).randbytes(4_000)
WORD, BOOK, PDF = hostile.word_of("Text."), hostile.book_of([["Text"]]), hostile.pdf_of("Text.")

MERGES = "".join(f'<mergeCell ref="A{row}:A{row + 900}"/>' for row in range(1, 5_000))

# Name of the file, its content, the error, and words that its message must hold.
REFUSED: dict[str, tuple[str, bytes, type[DocumentError], str]] = {
    "zero bytes": ("a.txt", b"", EmptyDocumentError, "0 bytes"),
    "blanks only": ("a.txt", b" \n\t\r\n \xc2\xa0\xe2\x80\x8b", EmptyDocumentError, "no text"),
    "markup only": ("a.html", b"<html><body><script>x()</script></body></html>", EmptyDocumentError, "no text"),
    "comment only": ("a.md", b"<!-- nothing else -->", EmptyDocumentError, "no text"),
    "separators only": ("a.csv", b",,,\n,,,\n", EmptyDocumentError, "no text"),
    "empty sheet": ("a.xlsx", hostile.book_of([]), EmptyDocumentError, "no text"),
    "empty word": ("a.docx", hostile.word_of(""), EmptyDocumentError, "no text"),
    "blank page": ("a.pdf", hostile.pdf_of(""), EmptyDocumentError, "no text"),
    "only invisible text": (
        "a.pdf",
        hostile.pdf_with_content(hostile.pdf_line("SECRET", before="3 Tr")),
        EmptyDocumentError,
        "invisible",
    ),
    "noise as text": ("a.txt", JUNK, UnsupportedFormatError, "binary"),
    "noise as csv": ("a.csv", JUNK, UnsupportedFormatError, "binary"),
    "noise as html": ("a.html", JUNK, UnsupportedFormatError, "binary"),
    "noise as pdf": ("a.pdf", JUNK, CorruptDocumentError, "not a .pdf"),
    "noise as docx": ("a.docx", JUNK, CorruptDocumentError, "not a .docx"),
    "noise as xlsx": ("a.xlsx", JUNK, CorruptDocumentError, "not a .xlsx"),
    "picture as text": ("a.txt", hostile.PNG, UnsupportedFormatError, "PNG"),
    "picture as pdf": ("a.pdf", hostile.PNG, UnsupportedFormatError, "PNG"),
    "program as text": ("a.md", b"\x7fELF\x02\x01\x01" + b"\x00" * 100, UnsupportedFormatError, "program"),
    "pdf as docx": ("a.docx", PDF, UnsupportedFormatError, ".pdf"),
    "pdf as text": ("a.txt", PDF, UnsupportedFormatError, ".pdf"),
    "docx as pdf": ("a.pdf", WORD, UnsupportedFormatError, "Word"),
    "docx as xlsx": ("a.xlsx", WORD, UnsupportedFormatError, "xl/workbook.xml"),
    "xlsx as csv": ("a.csv", BOOK, UnsupportedFormatError, "Excel"),
    "zip as docx": ("a.docx", hostile.zip_of({"a": "b"}), UnsupportedFormatError, "word/document.xml"),
    "text as pdf": ("a.pdf", b"Just words in a file.", UnsupportedFormatError, "plain text"),
    "rtf as docx": ("a.docx", b"{\\rtf1 hello}", UnsupportedFormatError, "RTF"),
    "old word as docx": ("a.docx", hostile.ole_with("WordDocument"), UnsupportedFormatError, ".docx"),
    "old excel as xlsx": ("a.xlsx", hostile.ole_with("Workbook"), UnsupportedFormatError, ".xlsx"),
    "docx under a password": (
        "a.docx",
        hostile.ole_with("EncryptionInfo", "EncryptedPackage"),
        EncryptedDocumentError,
        "password",
    ),
    "zip under a password": ("a.xlsx", hostile.zip_with_password(BOOK), EncryptedDocumentError, "password"),
    "pdf under a password": ("a.pdf", hostile.pdf_of("Text", password="x"), EncryptedDocumentError, "password"),
    "scan": ("a.pdf", hostile.pdf_scan(2), ScannedDocumentError, "OCR"),
    "pdf header only": ("a.pdf", b"%PDF-1.7\n", CorruptDocumentError, "damaged"),
    "pdf cut short": ("a.pdf", PDF[:300], CorruptDocumentError, "damaged"),
    "docx cut short": ("a.docx", WORD[: len(WORD) // 2], CorruptDocumentError, "damaged"),
    "docx with a flipped byte": ("a.docx", WORD[:2_000] + b"\xff" * 40 + WORD[2_040:], CorruptDocumentError, ""),
    "docx without xml": ("a.docx", hostile.repacked(WORD, {"word/document.xml": b"no"}), CorruptDocumentError, "Word"),
    "xlsx without xml": ("a.xlsx", hostile.repacked(BOOK, {"xl/workbook.xml": b"<no"}), CorruptDocumentError, "Excel"),
    "xlsx with a broken sheet": (
        "a.xlsx",
        hostile.repacked(BOOK, {"xl/worksheets/sheet1.xml": b"<worksheet><sheetData><row"}),
        CorruptDocumentError,
        "Excel",
    ),
    "row beyond the last of a sheet": (
        "a.xlsx",
        hostile.book_with_sheet(
            '<row r="1"><c r="A1"><v>1</v></c></row><row r="99999999"><c r="A99999999"><v>2</v></c></row>'
        ),
        CorruptDocumentError,
        "cannot be read",
    ),
    "page tree in a loop": ("a.pdf", hostile.pdf_with_page_loop(), DocumentError, ""),
    "zip bomb": ("a.docx", hostile.zip_bomb("word/document.xml"), DocumentTooLargeError, "unpacks"),
    "zip bomb by ratio": (
        "a.xlsx",
        hostile.zip_bomb("xl/workbook.xml", 64 * 1024 * 1024),
        DocumentTooLargeError,
        "bomb",
    ),
    "zip of many": ("a.docx", hostile.zip_of_many("word/document.xml", 12_000), DocumentTooLargeError, "parts"),
    "zip with twins": ("a.docx", hostile.zip_with_twins("word/document.xml"), CorruptDocumentError, "same name"),
    "entities in word": ("a.docx", hostile.word_with_entities(), CorruptDocumentError, "entities"),
    "external entity": ("a.docx", hostile.word_with_external_entity(), CorruptDocumentError, "entities"),
    "external entity, wide": ("a.docx", hostile.word_with_external_entity("utf-16"), CorruptDocumentError, "entities"),
    "entities in excel": ("a.xlsx", hostile.book_with_entities(), CorruptDocumentError, "entities"),
    "tables nested deeply": ("a.docx", hostile.word_with_nested_tables(3_000), CorruptDocumentError, ""),
    "elements nested deeply": ("a.html", b"<div>" * 200_000 + b"x", CorruptDocumentError, "nest"),
    "endless cell": ("a.csv", b'a,"' + b"x" * 300_000, DocumentTooLargeError, "quote"),
    "old word": ("a.doc", hostile.ole_with("WordDocument"), UnsupportedFormatError, "save it as .docx"),
    "old excel": ("a.xls", hostile.ole_with("Workbook"), UnsupportedFormatError, "save it as .xlsx"),
    "slides": ("a.pptx", hostile.zip_of({"ppt/presentation.xml": ""}), UnsupportedFormatError, "save it as .pdf"),
    "picture": ("a.png", hostile.PNG, UnsupportedFormatError, "recognised"),
    "no extension": ("report", b"words", UnsupportedFormatError, "no extension"),
    "unknown extension": ("a.exe", b"MZ", UnsupportedFormatError, ".exe files are not read"),
}


def load(folder: Path, name: str, content: bytes, **limits: float) -> Document:
    path = folder / name
    path.write_bytes(content)
    return load_document(path, replace(LIMITS, **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_its_own_error(case: str, tmp_path: Path) -> None:
    name, content, kind, words = REFUSED[case]
    with pytest.raises(kind) as caught:
        load(tmp_path, name, content)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert words in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert str(tmp_path) not in message


# Name, content, words that must be there, words that must not be.
SANITISED: dict[str, tuple[str, bytes, str, str]] = {
    "nul bytes": ("a.txt", b"Net\x00 asset\x07 value" + b" is a sum." * 30, "Net asset value", "\x00"),
    "direction marks": ("a.txt", "Pay \u202e001\u202c to\u200b me\U000e0041".encode(), "Pay 001 to me", "\u202e"),
    "escape sequences": ("a.md", b"Normal words " * 9 + b"\x1b[31mred\x1b[0m", "[31mred", "\x1b"),
    "lone surrogates": ("a.html", b"<p>A&#xD800;B &#0; C&#x110000;</p>", "A", "\ud800"),
    "script": ("a.html", b"<p>Shown</p><script>SECRET()</script><style>SECRET{}</style>", "Shown", "SECRET"),
    "hidden attribute": ("a.html", b"<p>Shown</p><p hidden>SECRET</p><p>Also</p>", "Also", "SECRET"),
    "display none": ("a.html", b"<p>Shown<span style='color:red;DISPLAY : none'>SECRET</span> on</p>", "on", "SECRET"),
    "no size": ("a.html", b"<p>Shown</p><p style='font-size:0'>SECRET</p>", "Shown", "SECRET"),
    "off the page": ("a.html", b"<p>Shown</p><p style='position:absolute;left:-9999px'>SECRET</p>", "Shown", "SECRET"),
    "no opacity": ("a.html", b"<p>Shown</p><p style='opacity:0.0'>SECRET</p>", "Shown", "SECRET"),
    "white on white": ("a.html", b"<p>Shown</p><p style='color:#FFF'>SECRET</p>", "Shown", "SECRET"),
    "hidden by rule": (
        "a.html",
        b"<style>@media print{p{display:none}} .x , #y{display:none}</style><p>Shown</p><p class='a x'>SECRET</p>"
        b"<p id=y>SECRET</p>",
        "Shown",
        "SECRET",
    ),
    "hidden in a heading": ("a.html", b"<h1>Shown <i style='visibility:hidden'>SECRET</i></h1>", "Shown", "SECRET"),
    "hidden row": (
        "a.html",
        b"<table><tr><th>A<th>B<tr><td>1<td>2<tr hidden><td>SECRET<td>3</table>",
        "A | B",
        "SECRET",
    ),
    "comment": ("a.html", b"<p>Shown</p><!-- SECRET -->", "Shown", "SECRET"),
    "utf-7": ("a.html", b"<meta charset=utf-7><p>+ADw-script+AD4- Shown</p>", "+ADw-script+AD4- Shown", "<script>"),
    "markdown comment": ("a.md", b"Shown\n\n<!-- SECRET\nSECRET -->\n\n[//]: # (SECRET)\n\nAlso", "Also", "SECRET"),
    "markdown element": ("a.md", b"Shown <span style='display:none'>SECRET</span> on", "on", "SECRET"),
    "hidden in pdf": ("a.pdf", hostile.pdf_with_hidden_text(), "White on blue", "SECRET"),
    "white on a small ground in pdf": (
        "a.pdf",
        hostile.pdf_with_content(
            b"0 0 0.6 rg 70 690 120 30 re f\n"
            + hostile.pdf_line("Kept on blue", y=700, before="1 1 1 rg")
            + hostile.pdf_line("SECRET beside", x=300, y=700)
        ),
        "Kept on blue",
        "SECRET",
    ),
    "overlapping merges": (
        "a.xlsx",
        hostile.book_with_sheet(
            '<row r="1"><c r="A1" t="inlineStr"><is><t>Label</t></is></c><c r="B1"><v>1</v></c></row>'
            '<row r="2"><c r="B2"><v>2</v></c></row>',
            after=f"<mergeCells>{MERGES}</mergeCells>",
        ),
        "Label | 2",
        "None",
    ),
    "actions in pdf": ("a.pdf", hostile.pdf_with_actions(), "Text of a page with actions", "alert"),
    "hidden in word": ("a.docx", hostile.word_with_hidden_text(), "Inserted.", "SECRET"),
    "hidden in excel": ("a.xlsx", hostile.book_with_hidden_parts(), "Revenue | 1234", "SECRET"),
    "hidden number in excel": ("a.xlsx", hostile.book_with_hidden_parts(), "Costs | -7", "4711"),
    "million rows claimed": (
        "a.xlsx",
        hostile.book_with_sheet('<row r="1"><c r="A1" t="inlineStr"><is><t>Only</t></is></c></row>'),
        "Only",
        "None",
    ),
    "far corner": (
        "a.xlsx",
        hostile.book_with_sheet('<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>Corner</t></is></c></row>'),
        "Corner",
        " | ",
    ),
    "pages that are not there": ("a.pdf", hostile.pdf_with_count(2_000_000), "One page only", "\x00"),
    "pdf for its owner": ("a.pdf", hostile.pdf_of("Open to readers", password=""), "Open to readers", "SECRET"),
    "formula injection": ("a.csv", b"Name,Value\n=cmd|' /C calc'!A0,5\n", "=cmd|' /C calc'!A0 | 5", "\r"),
    "wide rows": ("a.csv", b",".join(b"%d" % n for n in range(50_000)) + b"\n1,2\n", "49999", "\x00"),
    "markup in cells": ("a.csv", b"A,B\n<script>alert(1)</script>,2\n", "<script>alert(1)</script> | 2", "\x00"),
}


@pytest.mark.parametrize("case", SANITISED)
def test_is_read_without_what_would_harm(case: str, tmp_path: Path) -> None:
    name, content, present, absent = SANITISED[case]
    document = load(tmp_path, name, content)
    assert present in document.text
    assert absent not in document.text
    assert absent not in "".join(heading.title for heading in document.headings)


@pytest.mark.parametrize(
    "case", ["hidden attribute", "markdown comment", "hidden in pdf", "hidden in word", "hidden in excel"]
)
def test_what_is_left_out_is_said(case: str, tmp_path: Path) -> None:
    name, content, _, _ = SANITISED[case]
    warnings = " ".join(load(tmp_path, name, content).warnings)
    assert "eft out" in warnings
    assert "SECRET" not in warnings


@pytest.mark.parametrize(("name", "fence"), [("a.txt", ""), ("a.md", ""), ("a.html", "pre")])
def test_gaps_without_end_end(name: str, fence: str, tmp_path: Path) -> None:
    content = "Rent" + " " * 3_000 + "rose." + "\n \t" * 3_000 + "\n" + "\t" * 500 + "It fell."
    text = load(tmp_path, name, (f"<{fence}>{content}</{fence}>" if fence else content).encode()).text
    assert text.split() == ["Rent", "rose.", "It", "fell."]
    assert len(text) < 200


def test_white_letters_on_a_coloured_ground_are_kept(tmp_path: Path) -> None:
    page = b"<div style='background:#003'><p style='color:white'>Shown</p></div>"
    assert load(tmp_path, "a.html", page).text == "Shown"


# Not regular files ----------------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DocumentNotFoundError, match="no such file"):
        load_document(tmp_path / "a.txt", LIMITS)


def test_a_name_that_no_system_takes() -> None:
    for path in ("a\0b.txt", "x" * 5_000 + ".txt"):
        with pytest.raises(DocumentNotFoundError):
            load_document(path, LIMITS)


def test_a_link_a_folder_and_a_device(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("words")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    (tmp_path / "folder.txt").mkdir()
    for path, word in (
        (tmp_path / "link.txt", "link"),
        (tmp_path / "folder.txt", "folder"),
        (Path("/dev/zero"), "device"),
    ):
        with pytest.raises(UnsupportedFormatError, match=word):
            load_document(path, LIMITS, name="a.txt")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UnsupportedFormatError, match="pipe"):
        load_document(tmp_path / "pipe.txt", LIMITS)


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Paths of sockets are short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.txt")
        with pytest.raises(UnsupportedFormatError):
            load_document("s.txt", LIMITS)


def test_a_hostile_name_is_shown_safely(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    name = "../../etc\\pass\x1b[31m\r\n\u202etxt." + "x" * 300 + ".txt"
    document = load_document(tmp_path / "a.txt", LIMITS, name=name)
    assert document.name.startswith("pass[31m txt.xxx")
    assert document.name.endswith("xxx.txt")
    assert len(document.name) == 120
    with pytest.raises(UnsupportedFormatError) as caught:
        load_document(tmp_path / "a.txt", LIMITS, name=name.replace(".txt", ".\x1b]0;exe"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250
    for empty in ("", "..", "/", "\u202e", "\\"):
        assert load_document(tmp_path / "a.txt", LIMITS, name=empty).name == "unnamed"


# Limits ---------------------------------------------------------------------------------------------------------------


def test_the_limit_of_bytes_comes_before_reading(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(10**12)  # Sparse: it takes no room and would take for ever to read.
    with pytest.raises(DocumentTooLargeError, match="MiB"):
        load_document(tmp_path / "a.txt", LIMITS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"word " * 1_000),
        ("a.md", b"word " * 1_000),
        ("a.csv", b"a,b\n" * 1_000),
        ("a.html", b"<p>word</p>" * 1_000),
        ("a.docx", hostile.word_of("word " * 1_000)),
        ("a.xlsx", hostile.book_of([["word"]] * 1_000)),
        ("a.pdf", hostile.pdf_of("word " * 500, "word " * 500)),
    ],
)
def test_the_limit_of_characters(name: str, content: bytes, tmp_path: Path) -> None:
    assert load(tmp_path, name, content, characters=1_000_000).character_count > 3_000
    with pytest.raises(DocumentTooLargeError, match="characters"):
        load(tmp_path, name, content, characters=2_000)


def test_the_limit_of_pages(tmp_path: Path) -> None:
    content = hostile.pdf_of("one", "two", "three")
    assert load(tmp_path, "a.pdf", content, pages=3).page_count == 3
    with pytest.raises(DocumentTooLargeError, match="3 pages"):
        load(tmp_path, "a.pdf", content, pages=2)


def test_headings_and_tables_without_end_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "_MOST_MARKS", 3)
    draft = drafting.Draft(drafting.DraftLimits(10, 10_000, 10_000))
    read_content(b"# Title\n\na | b\n--|--\n1 | 2\n\n" * 5, ".md", draft)
    assert (len(draft.headings), len(draft.tables)) == (3, 3)
    assert draft.finish()[0].count("1 | 2") == draft.finish()[0].count("Title") == 5
    assert [warning[:18] for warning in draft.warnings] == ["Only the first 3 h", "Only the first 3 t"]


def early(progress: Progress) -> bool:
    """Whether so much is still to be read that the worker is sure to be there."""
    return 0 < progress.done < progress.total // 2


def workers() -> list[psutil.Process]:
    # Children of this process alone: an app that other tests have started has workers of its own.
    return [child for child in psutil.Process().children() if "rag_core.loading" in " ".join(child.cmdline())]


def long_pdf(tmp_path: Path, pages: int = 400) -> Path:
    """Write a file whose second half alone takes longer to read than a busy machine keeps this process waiting."""
    path = tmp_path / "long.pdf"
    path.write_bytes(hostile.pdf_of(*["some words on a page " * 40] * pages))
    return path


def test_the_limit_of_time_kills_the_worker(tmp_path: Path) -> None:
    hung: list[int] = []

    def hang(progress: Progress) -> None:
        for worker in workers() if early(progress) else []:
            worker.suspend()
            hung.append(worker.pid)

    with pytest.raises(DocumentTooLargeError, match=r"longer than 1\.5 seconds"):
        load_document(long_pdf(tmp_path), replace(LIMITS, parse_seconds=1.5), on_progress=hang)
    # On a slow machine the time may be up before the first page: the worker must be gone all the same.
    assert workers() == []
    assert not any(psutil.pid_exists(pid) for pid in hung)


def test_the_limit_of_memory(tmp_path: Path) -> None:
    content = b"<p>" + b"<b>word</b> " * 2_000_000
    with pytest.raises(DocumentTooLargeError, match="memory"):
        load(tmp_path, "a.html", content, parse_memory_bytes=200 * 1024 * 1024)


def test_a_worker_that_dies_is_a_damaged_document(tmp_path: Path) -> None:
    def crash(progress: Progress) -> None:
        for worker in workers() if early(progress) else []:
            worker.send_signal(signal.SIGSEGV)

    with pytest.raises(CorruptDocumentError, match="crashed"):
        load_document(long_pdf(tmp_path), LIMITS, on_progress=crash)


def test_an_error_of_the_caller_ends_the_worker(tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_document(long_pdf(tmp_path), LIMITS, on_progress=fail)
    assert workers() == []


class SeenError(Exception):
    """What was to be seen has been."""


def test_the_worker_knows_no_secret_and_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sesame")
    seen: list[dict[str, str]] = []
    written: set[tuple[int, int]] = set()

    def look(progress: Progress) -> None:
        for worker in workers() if early(progress) else []:
            # Stopped while it is looked at, so that it cannot be gone by then.
            worker.suspend()
            seen.append(worker.environ())
            written.add(worker.rlimit(psutil.RLIMIT_FSIZE))
            raise SeenError

    with pytest.raises(SeenError):
        load_document(long_pdf(tmp_path), LIMITS, on_progress=look)
    assert all("sesame" not in variables.values() and "HOME" not in variables for variables in seen)
    assert written == {(0, 0)}


def test_nothing_is_fetched(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    page = (
        f'<!DOCTYPE html SYSTEM "{address}/dtd"><html><head><link rel=stylesheet href="{address}/css"><base href="{address}/">'
        f'<script src="{address}/js"></script></head><body><img src="{address}/img"><iframe src="{address}/frame">'
        "</iframe><p>Harmless text.</p></body></html>"
    )
    try:
        assert load(tmp_path, "a.html", page.encode()).text == "Harmless text."
        assert load(tmp_path, "a.docx", hostile.word_with_remote_template(f"{address}/t")).text == "Harmless text."
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []

"""The page in headless Chromium, over the real server and models: what a visitor does, and what must never happen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_server import Server, shared_server
from playwright.sync_api import Browser, Page, expect, sync_playwright
from waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Models may still be loading when the first test asks. Waiting ends as soon as what is waited for is there, so a limit
# costs nothing but on a failure.
PATIENCE_MS = 1_000 * PATIENCE_SECONDS
expect.set_options(timeout=PATIENCE_MS)
FILLER = "The group reports its segments with care and consistency in every period under review. "
LOAN = (
    "# Financing note\n\n"
    + (FILLER * 5 + "\n\n") * 12
    + "## Bank loan\n\nThe bank loan of EUR 50 million carries interest of 4.2 percent and matures in June 2027.\n\n"
    + (FILLER * 5 + "\n\n") * 12
)
STATEMENT = "# Income statement\n\n| in EUR thousand | 2023 | 2022 |\n|---|---|---|\n| Gross profit | 2,311 | 2,044 |\n"
EVIL_NAME = "<img src=x onerror=window.pwned=1>.txt"
EVIL_TEXT = (
    "Dividend note <script>window.pwned=1</script><img src=http://198.51.100.7/x.png onerror=window.pwned=1>.\n\n"
    'The dividend for 2023 is EUR 1.30 per share, see <a href="http://198.51.100.7/">here</a> '
    "![x](http://198.51.100.7/y.png) {{7*7}} ${7*7}.\n"
)
STYLED = {"phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}, "desk": {}}


@pytest.fixture(scope="module")
def server() -> Server:
    return shared_server()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open the app in a browser context of its own; afterwards no error and no request elsewhere may have occurred."""
    contexts = []
    errors: list[str] = []
    elsewhere: list[str] = []

    def open_(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((server.url, "data:", "blob:")) else elsewhere.append(request.url)
            ),
        )
        page.goto(server.url)
        page.wait_for_selector("#rag-question textarea", state="attached")
        page.wait_for_function("document.querySelector('#rag-panel .rag-panel') !== null")
        # A click is heard once the script of our own buttons runs; choosing the part that is shown changes nothing.
        page.wait_for_function(
            """() => {
                document.querySelector(".rag-tabs button[data-pane=chat]")?.click();
                return document.querySelector("#rag-main")?.dataset.pane === "chat";
            }"""
        )
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
    assert elsewhere == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def upload(page: Page, *files: tuple[str, str]) -> None:
    page.set_input_files(
        "#rag-drop input[type=file]",
        [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in files],
    )


def ask(page: Page, question: str) -> None:
    page.fill("#rag-question textarea", question)
    page.press("#rag-question textarea", "Enter")


def answered(page: Page, count: int = 1) -> Any:
    answers = page.locator(".rag-answer.is-final, .rag-answer.is-abstained, .rag-answer.is-error")
    expect(answers).to_have_count(count)
    return answers.last


def first_words(page: Page) -> str:
    """Wait for an answer that is held half-way to stand still; return its text."""
    streaming = page.locator(".rag-answer.is-streaming .rag-text")
    expect(streaming).to_have_text(re.compile(r"\w"))
    return str(streaming.inner_text())


def expect_in_view(page: Page, selector: str, frame: str) -> None:
    page.wait_for_function(
        """([selector, frame]) => {
            const inner = document.querySelector(selector)?.getBoundingClientRect();
            const outer = document.querySelector(frame)?.getBoundingClientRect();
            return inner && outer && inner.top >= outer.top - 1 && inner.top < outer.bottom
                && inner.height > 0 && inner.width > 0;
        }""",
        arg=[selector, frame],
    )


def expect_at_rest(page: Page) -> None:
    """Wait until nothing moves or fades any more, but for what never ends, like a waiting ring."""
    page.wait_for_function(
        """() => document.getAnimations().every((animation) =>
            animation.playState !== "running" || animation.effect.getComputedTiming().endTime === Infinity)"""
    )


def test_from_upload_to_a_cited_answer_and_back_to_nothing(server: Server, page: Page) -> None:
    upload(page, ("loan.md", LOAN))
    document = page.locator(".rag-document:not(.is-arriving)")
    expect(document).to_contain_text("loan.md")

    # It streams: the first words stand there while the model has not yet written the others.
    with server.held():
        ask(page, "Does the bank loan mature in June 2027?")
        partial = first_words(page)
        expect(page.locator(".rag-caret")).to_be_visible()
    answer = answered(page)
    whole = answer.locator(".rag-text").inner_text()
    assert whole.startswith(partial)
    assert len(whole) > len(partial)

    # The answer's source opens by itself; its chip opens it again, marked and in view.
    chip = answer.locator(".rag-chip").first
    expect(chip).to_have_attribute("aria-label", re.compile(r"Source 1: loan\.md, page 1"))
    chip.click()
    expect(page.locator("#rag-panel mark").first).to_contain_text("June 2027")
    expect(page.locator("#rag-panel .rag-page")).to_contain_text("Page 1 of 1")
    page.wait_for_function("document.querySelector('#rag-panel .rag-page-text').scrollTop > 0")
    expect_in_view(page, "#rag-panel mark", "#rag-panel .rag-page-text")
    expect(page.locator("#rag-panel .rag-panel-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()

    # Deleted, it is gone from the list, from the panel, and from what can be asked.
    page.locator(".rag-delete").click()
    expect(page.locator(".rag-document")).to_have_count(0)
    expect(page.locator("#rag-panel")).to_contain_text("No longer there")
    expect(page.locator("#rag-panel mark")).to_have_count(0)
    chip.click()
    expect(page.locator("#rag-panel")).to_contain_text("No longer there")
    ask(page, "When does the bank loan mature?")
    expect(answered(page, 2)).to_contain_text("Add a document first")


def test_the_keyboard_alone_reaches_a_source(page: Page) -> None:
    upload(page, ("loan.md", LOAN))
    expect(page.locator(".rag-document:not(.is-arriving)")).to_have_count(1)
    ask(page, "When does the bank loan mature?")
    chip = answered(page).locator(".rag-chip").first
    page.locator("#rag-log").click(position={"x": 5, "y": 5})
    for _ in range(60):
        page.keyboard.press("Tab")
        if chip.evaluate("chip => chip === document.activeElement"):
            break
    expect(chip).to_be_focused()
    outline = chip.evaluate("chip => getComputedStyle(chip).outlineStyle + getComputedStyle(chip).outlineWidth")
    assert outline.startswith("solid")
    page.keyboard.press("Enter")
    expect(page.locator("#rag-panel .rag-panel-title")).to_be_focused()
    expect(page.locator("#rag-panel mark").first).to_be_visible()


def test_a_verdict_is_given_by_keyboard_kept_and_goes_with_its_document(server: Server, page: Page) -> None:
    question = "Which interest does the bank loan of this verdict carry?"

    def kept() -> list[str]:
        path = server.temporary / "feedback.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        return [row["verdict"] for row in rows if row["question"] == question]

    upload(page, ("loan.md", LOAN))
    expect(page.locator(".rag-document:not(.is-arriving)")).to_have_count(1)
    ask(page, question)
    answered(page)
    up, down = page.locator(".rag-thumb.is-up").first, page.locator(".rag-thumb.is-down").first
    up.focus()
    page.keyboard.press("Enter")
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".rag-judged").first).to_have_text("Kept")
    assert kept() == ["up"]
    page.keyboard.press("Tab")
    expect(down).to_be_focused()
    page.keyboard.press("Space")
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    assert kept() == ["down"]
    # A further question draws the chat anew, and the verdict still shows; a second press takes it back.
    ask(page, "When does it mature?")
    answered(page, 2)
    expect(down).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "false")
    assert kept() == []
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    assert kept() == ["up"]
    page.locator(".rag-document .rag-delete").click()
    expect(page.locator(".rag-document")).to_have_count(0)
    assert kept() == []
    down.click()
    expect(page.locator(".toast-body").first).to_contain_text("no longer there")
    assert kept() == []


def test_nothing_scrolls_beneath_the_button_that_clears_the_conversation(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 900, "height": 420})
    upload(page, ("loan.md", LOAN))
    # Asked any sooner, both answers would be too short to scroll.
    expect(page.locator("button.rag-open")).to_have_count(1)
    page.click(".rag-tabs button[data-pane=chat]")
    for count in (1, 2):
        ask(page, "When does the bank loan mature?")
        answered(page, count)
    overlap = """() => {
        const button = document.querySelector("#rag-log .top-panel").getBoundingClientRect();
        const frame = document.querySelector("#rag-log .bubble-wrap");
        return [frame.scrollHeight > frame.clientHeight, frame.getBoundingClientRect().top >= button.bottom];
    }"""
    assert page.evaluate(overlap) == [True, True]


def test_several_files_go_in_and_a_bad_one_is_told_by_name(page: Page) -> None:
    upload(page, ("one.txt", "The first note is about interest."), ("blank.txt", " "), ("two.txt", "The second note."))
    expect(page.locator(".rag-document.is-refused")).to_contain_text("blank.txt")
    expect(page.locator("button.rag-open")).to_have_count(2)
    assert "Traceback" not in page.locator("#rag-list").inner_text()
    page.locator(".is-refused .rag-delete").click()
    expect(page.locator(".is-refused")).to_have_count(0)
    expect(page.locator("button.rag-open")).to_have_count(2)


def test_stop_stops_and_what_was_said_is_called_unchecked(server: Server, page: Page) -> None:
    upload(page, ("loan.md", LOAN))
    expect(page.locator(".rag-document:not(.is-arriving)")).to_have_count(1)
    with server.held() as closed:
        ask(page, "Does the bank loan mature in June 2027?")
        first_words(page)
        page.click(".stop-button")
        expect(page.locator(".submit-button")).to_be_visible()
        # It is the model's work that has ended, not only what is shown of it.
        assert eventually(closed.exists)
    expect(page.locator(".rag-answer.is-streaming .rag-stopped")).to_be_visible()
    expect(page.locator(".rag-caret")).to_be_hidden()
    partial = page.locator(".rag-answer .rag-text").inner_text()
    # Once stopped, nothing more is written, and the next question is answered.
    ask(page, "What interest does the bank loan carry?")
    answered(page)
    assert page.locator(".rag-answer .rag-text").first.inner_text() == partial


def test_hostile_names_and_texts_make_no_elements(page: Page) -> None:
    upload(page, (EVIL_NAME, EVIL_TEXT))
    expect(page.locator("button.rag-open")).to_have_count(1)
    page.locator("button.rag-open").click()
    expect(page.locator("#rag-panel .rag-page-text")).to_contain_text("<script>window.pwned=1</script>")
    expect(page.locator("#rag-panel .rag-page-text")).to_contain_text("{{7*7}} ${7*7}")
    ask(page, f"What is the dividend? {EVIL_NAME} ![x](http://198.51.100.7/q.png)")
    answered(page)
    expect(page.locator("#rag-log .user").first).to_contain_text("![x](http://198.51.100.7/q.png)")
    page.wait_for_timeout(500)
    for frame in ("#rag-panel", "#rag-list", "#rag-log"):
        assert page.locator(f"{frame} :is(script, img, iframe, object, embed, link, [onerror])").count() == 0
        assert page.locator(f"{frame} a[href]").count() == 0
    assert page.evaluate("window.pwned") is None


def test_a_second_visitor_sees_nothing_of_the_first(page: Page, open_page: Callable[..., Page]) -> None:
    upload(page, ("loan.md", LOAN))
    expect(page.locator("button.rag-open")).to_have_count(1)
    other = open_page()
    expect(other.locator("#rag-list")).to_contain_text("None yet")
    ask(other, "When does the bank loan mature?")
    expect(answered(other)).to_contain_text("Add a document first")


def test_closing_the_page_deletes_its_documents(server: Server, page: Page) -> None:
    before = visitor_folders(server)
    upload(page, ("loan.md", LOAN))
    expect(page.locator("button.rag-open")).to_have_count(1)
    (mine,) = visitor_folders(server) - before
    page.close()
    assert eventually(lambda: not mine.exists())


def visitor_folders(server: Server) -> set[Path]:
    return {folder for root in server.temporary.glob("ragoptimize-visitors-*") for folder in root.iterdir()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_part_at_a_time_and_nothing_sticks_out(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(**STYLED["phone"], color_scheme=scheme)
    page.click(".rag-tabs button[data-pane=side]")
    upload(page, ("loan.md", LOAN))
    expect(page.locator("button.rag-open")).to_have_count(1)
    page.click(".rag-tabs button[data-pane=chat]")
    expect(page.locator("#rag-side")).to_be_hidden()
    ask(page, "When does the bank loan mature?")
    chip = answered(page).locator(".rag-chip").first
    # The answer opened its source out of sight; its tab alone must show the mark.
    page.click(".rag-tabs button[data-pane=sources]")
    expect(page.locator("#rag-panel mark").first).to_be_visible()
    expect_in_view(page, "#rag-panel mark", "#rag-panel .rag-page-text")
    page.click(".rag-back")
    chip.click()
    expect(page.locator("#rag-chat")).to_be_hidden()
    expect(page.locator("#rag-panel mark").first).to_be_visible()
    expect_in_view(page, "#rag-panel mark", "#rag-panel .rag-page-text")
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    page.click(".rag-back")
    expect(chip).to_be_visible()
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


_CONTRAST = """() => {
    const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const parse = (text) => {
        const all = text.match(/[\\d.]+/g).map(Number);
        return text.startsWith("color(") ? [...all.slice(0, 3).map((v) => v * 255), all[3] ?? 1] : [...all.slice(0, 3), all[3] ?? 1];
    };
    const behind = (element) => {
        let result = null;
        const layers = [];
        for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
        result = [255, 255, 255];
        for (const [r, g, b, a] of layers.reverse()) result = [r, g, b].map((v, i) => v * a + result[i] * (1 - a));
        return result;
    };
    const poor = [];
    let inspected = 0;
    const walker = document.createTreeWalker(document.querySelector("#rag-main").parentElement, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const box = element.getBoundingClientRect();
        const style = getComputedStyle(element);
        if (!walker.currentNode.textContent.trim() || !box.width || !box.height || style.visibility === "hidden") continue;
        if (element.closest("[aria-hidden=true], .is-off, script, style") || parseFloat(style.fontSize) === 0) continue;
        inspected += 1;
        const [a, b] = [light(parse(style.color)), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.className}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
    }
    return inspected < 10 ? [`only ${inspected} texts were found`] : poor;
}"""  # noqa: E501


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable(open_page: Callable[..., Page], scheme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.2, level AA), before, during and after an answer."""
    page = open_page(color_scheme=scheme)
    assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
    expect(page.locator(".rag-starter").first).to_be_visible()
    expect_at_rest(page)
    assert page.evaluate(_CONTRAST) == []
    upload(page, ("loan.md", LOAN), ("blank.txt", " "))
    expect(page.locator(".is-refused")).to_have_count(1)
    ask(page, "When does the bank loan mature?")
    answered(page)
    ask(page, "What was the diluted earnings per share of the football club in 1954?")
    answered(page, 2)
    upload(page, ("statement.md", STATEMENT))
    expect(page.locator("button.rag-open")).to_have_count(2)
    ask(page, "What was the percentage change in gross profit from 2022 to 2023?")
    expect(answered(page, 3).locator(".rag-formula")).to_contain_text("13.06%")
    page.locator(".rag-thumb").last.click()
    expect(page.locator(".rag-thumb").last).to_have_attribute("aria-pressed", "true")
    page.locator(".rag-chip").first.click()
    expect(page.locator("#rag-panel mark").first).to_be_visible()
    expect_at_rest(page)
    assert page.evaluate(_CONTRAST) == []
    page.click(".rag-theme")
    assert page.evaluate("document.body.classList.contains('dark')") is (scheme != "dark")


def test_a_sample_is_added_and_asked_with_one_click(page: Page, samples: Path) -> None:
    assert samples.is_dir()
    starter = page.locator(".rag-starter").first
    question = starter.locator("span").inner_text()
    starter.click()
    expect(page.locator("button.rag-open")).to_have_count(1)
    answer = answered(page)
    expect(page.locator("#rag-log .user").first).to_contain_text(question)
    assert answer.inner_text().strip()

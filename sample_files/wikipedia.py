"""Text samples from Wikipedia's finance articles, built on the reader's own machine; nothing of them is in this repository.

Navigation boxes name the articles, the MediaWiki API (https://www.mediawiki.org/wiki/API:Main_page) gives their pages,
and each page becomes a text file with its licence and attribution beside it. Requests go one after the other, with a
pause between them, and every answer is kept: a second run fetches nothing.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx

from rag_core.errors import RagError
from sample_files.wikipedia_text import file_name, navigation_titles, page_text

__all__ = ["API", "NAVIGATION_BOXES", "Samples", "Wiki", "WikipediaError", "build_samples"]

API = "https://en.wikipedia.org/w/api.php"
NAVIGATION_BOXES = (
    "Template:Corporate finance and investment banking",
    "Template:Financial risk",
    "Template:Bond market",
    "Template:Derivatives market",
    "Template:Stock market",
    "Template:Investment management",
)
LICENCE = {"name": "CC BY-SA 4.0", "url": "https://creativecommons.org/licenses/by-sa/4.0/"}
# What the licence asks to be said about a changed copy.
_CHANGES = "Converted to plain text; pictures, formulas' markup, notes, references and navigation are left out."
# The API takes this many titles in one request.
_BATCH = 50
# From a title to its normal form, to what that redirects to, and on.
_MOST_STEPS = 4
_MOST_TRIES = 5
_MOST_WAIT_SECONDS = 300.0
# What the API says, under status 200, when it wants a request to come later.
_LATER = ("maxlag", "ratelimited", "readonly")


class WikipediaError(RagError):
    """Wikipedia cannot be read: no answer, a refusal, or too long a wait."""


@dataclass(frozen=True, slots=True)
class Article:
    """One revision of a page; `date` is that of the revision, in ISO 8601, `url` leads to exactly this revision."""

    title: str
    page_id: int
    revision: int
    date: str
    url: str


@dataclass(slots=True)
class Samples:
    """What a run wrote, and the titles that it left out with the reason for each."""

    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class Wiki:
    """A polite client of one wiki's API: one request at a time, at least `pause_seconds` apart, answers kept in `cache`.

    `contact` (an address or a page) goes into the User-Agent, as Wikimedia's policy asks. `sleep` and `clock` (seconds)
    are for tests.
    """

    def __init__(
        self,
        cache: Path,
        contact: str,
        *,
        api: str = API,
        pause_seconds: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not contact.strip() or not contact.isprintable():
            raise WikipediaError("Wikipedia asks who is calling; give your e-mail address or web page as the contact")
        self._cache = cache
        self._api = api
        self._pause = pause_seconds
        self._sleep = sleep
        self._clock = clock
        self._next = 0.0
        agent = f"RagOptimizeSamples/1.0 ({contact.encode('ascii', 'replace').decode()}) httpx/{httpx.__version__}"
        self._http = httpx.Client(headers={"User-Agent": agent}, timeout=30.0, follow_redirects=True)

    def __enter__(self) -> Wiki:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def linked_titles(self, box: str) -> list[str]:
        """Return the titles of existing articles that a navigation box links to, in its order; none where it is missing.

        Raises WikipediaError.
        """
        found = self._get({"action": "parse", "page": box, "prop": "text|links", "redirects": "1"})
        parsed = found.get("parse")
        if parsed is None:
            return []
        articles = {link["title"] for link in parsed["links"] if link["ns"] == 0 and link.get("exists")}
        return [title for title in navigation_titles(parsed["text"]) if title in articles]

    def look_up(self, titles: Iterable[str]) -> dict[str, Article | str]:
        """Return the newest revision of each title, redirects followed, or why it gives no sample. Raises WikipediaError."""
        wanted = list(dict.fromkeys(titles))
        result: dict[str, Article | str] = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            moved, pages = self._query(batch)
            for title in batch:
                target = title
                for _ in range(_MOST_STEPS):
                    target = moved.get(target, target)
                result[title] = _article(pages.get(target))
        return result

    def page_html(self, article: Article) -> str:
        """Return the HTML of exactly the article's revision. Raises WikipediaError."""
        found = self._get({"action": "parse", "oldid": str(article.revision), "prop": "text"})
        if "parse" not in found:
            raise WikipediaError(f"{article.title}: {_error(found)}; run it again")
        return str(found["parse"]["text"])

    def _query(self, titles: list[str]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Return how titles are changed on the way to their pages, and the pages, of at most 50 titles."""
        words = {"action": "query", "prop": "revisions|pageprops|info", "rvprop": "ids|timestamp", "inprop": "url"}
        words |= {"ppprop": "disambiguation", "titles": "|".join(titles), "redirects": "1"}
        moved: dict[str, str] = {}
        pages: dict[str, dict[str, Any]] = {}
        more: dict[str, str] = {}
        while True:
            found = self._get(words | more)
            if "query" not in found:
                raise WikipediaError(f"the titles cannot be looked up: {_error(found)}; run it again later")
            for kind in ("normalized", "redirects"):
                moved |= {step["from"]: step["to"] for step in found["query"].get(kind, ())}
            for page in found["query"].get("pages", ()):
                pages.setdefault(page["title"], {}).update(page)
            more = {name: str(value) for name, value in found.get("continue", {}).items()}
            if not more:
                return moved, pages

    def _get(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a request, from the cache where it is there."""
        query = {**words, "format": "json", "formatversion": "2", "maxlag": "5"}
        name = hashlib.sha256(json.dumps([self._api, query], sort_keys=True).encode()).hexdigest()
        kept = self._cache / f"{name}.json"
        if kept.is_file():
            return dict(json.loads(kept.read_text(encoding="utf-8")))
        answer = self._fetch(query)
        if "error" not in answer:
            _write(kept, json.dumps(answer, ensure_ascii=False))
        return answer

    def _fetch(self, query: Mapping[str, str]) -> dict[str, Any]:
        reason = ""
        for attempt in range(_MOST_TRIES):
            self._sleep(max(0.0, self._next - self._clock()))
            wait = 2.0**attempt
            try:
                response = self._http.get(self._api, params=dict(query))
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                answer = _body(response)
                if answer is not None:
                    self._next = self._clock() + self._pause
                    return answer
                reason = f"status {response.status_code}"
                wait = max(wait, _retry_after(response.headers.get("Retry-After", "")))
            if wait > _MOST_WAIT_SECONDS:
                raise WikipediaError(f"Wikipedia asks to wait for {wait:.0f} seconds; run it again after that")
            self._next = self._clock() + max(wait, self._pause)
        raise WikipediaError(f"Wikipedia does not answer ({reason}); run it again later, what came is kept")


def build_samples(wiki: Wiki, folder: Path, boxes: Iterable[str] = NAVIGATION_BOXES, *, most: int = 50) -> Samples:
    """Write at most `most` articles of the navigation boxes into `folder` as text, each with its attribution beside it.

    A file that is there already with the same content stays as it is. Raises WikipediaError.
    """
    result = Samples()
    titles: list[str] = []
    for box in boxes:
        links = wiki.linked_titles(box)
        titles += links
        if not links:
            result.skipped[box] = "there is no such box, or it links to no article"
    seen: set[int] = set()
    names: set[str] = set()
    for title, article in wiki.look_up(titles).items():
        if len(result.files) >= most:
            break
        if isinstance(article, str):
            result.skipped[title] = article
        elif article.page_id in seen:
            result.skipped[title] = f"the same article as {article.title}"
        else:
            seen.add(article.page_id)
            text = page_text(article.title, wiki.page_html(article))
            if not text:
                result.skipped[title] = "no text"
                continue
            name = file_name(article.title)
            if name.casefold() in names:
                name = f"{name}_{article.page_id}"
            names.add(name.casefold())
            _write(folder / f"{name}.txt", text)
            _write(folder / f"{name}.attribution.json", json.dumps(_attribution(article), ensure_ascii=False, indent=1))
            result.files.append(folder / f"{name}.txt")
    return result


def _article(page: Mapping[str, Any] | None) -> Article | str:
    if page is None or page.get("missing") or page.get("invalid"):
        return "there is no such page"
    if "disambiguation" in page.get("pageprops", {}):
        return "it only tells pages of one name apart"
    if not page.get("revisions"):
        return "it has no revision"
    revision = page["revisions"][0]
    number = int(revision["revid"])
    url = f"{page['canonicalurl']}?oldid={number}"
    return Article(str(page["title"]), int(page["pageid"]), number, str(revision["timestamp"]), url)


def _attribution(article: Article) -> dict[str, Any]:
    return {
        "title": article.title,
        "url": article.url,
        "revision": article.revision,
        "date": article.date,
        "authors": "Wikipedia contributors; the page's history names them",
        "licence": LICENCE,
        "changes": _CHANGES,
    }


def _body(response: httpx.Response) -> dict[str, Any] | None:
    """Return an answer to keep, None for one that is worth another try. Raises WikipediaError for a refusal."""
    if response.status_code == 429 or response.status_code >= 500:
        return None
    if response.status_code != 200:
        raise WikipediaError(
            f"Wikipedia refuses the request (status {response.status_code}); check the address and contact"
        )
    try:
        answer = response.json()
    except ValueError as error:
        raise WikipediaError("The answer is not JSON; check the address of the API") from error
    if not isinstance(answer, dict):
        raise WikipediaError("The answer is not what the API gives; check its address")
    return None if answer.get("error", {}).get("code") in _LATER else answer


def _error(answer: Mapping[str, Any]) -> str:
    return str(answer.get("error", {}).get("info") or "no answer of the kind that was asked for").rstrip(".")


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or the time until a date; 0 for neither."""
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; one that holds the text already stays untouched."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)

"""The command line: answers on stdout, progress and notes on stderr; exit 0 done, 1 failed with one line, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag_core.config import ENVIRONMENT, RagConfig
from rag_core.errors import DocumentNotFoundError, QuestionError, RagError
from rag_core.evaluation import read_questions
from rag_core.evaluation.command import add_options, document_files, run
from rag_core.records import Answer, Document, DoneEvent, Message, TextEvent
from rag_core.serialising import answer_dict, document_dict, hit_dict
from rag_core.terminal import ProgressLine, note, plain, print_answer_notes, write

__all__ = ["build_parser", "main"]

DEFAULT_INDEX = Path("chroma_db")

_EXAMPLES = """examples:
  python -m rag_core ask sample_files/options.md "What does a call option give its holder?"
  python -m rag_core ask report.pdf "What was revenue in 2023?" --json | jq .citations
  python -m rag_core ask report.pdf notes.docx "Which covenants apply?" --top-k 8
  python -m rag_core index reports/*.pdf        # once; later questions embed nothing again
  python -m rag_core ask "What was revenue in 2023?"      # over everything indexed
  python -m rag_core search report.pdf "debt maturities"  # passages only, no model
  python -m rag_core chat report.pdf            # a conversation; an empty line or Ctrl-D ends it
  python -m rag_core eval questions.jsonl report.pdf     # how right are the answers to questions of your own
  python -m rag_core remove report.pdf
  python -m rag_core doctor                     # what is installed, what is missing, what to do
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m rag_core",
        description="Ask your own documents. Each claim of an answer is tied to an exact passage, or marked as unsupported.",
        epilog=_EXAMPLES
        + "\nsettings from the environment (options win over them):\n"
        + "\n".join(f"  {name:<22}{meaning}" for name, (_, meaning) in sorted(ENVIRONMENT.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ask = _command(commands, "ask", _ask, "answer one question, with citations", models=True)
    ask.add_argument("inputs", nargs="+", metavar="FILE... QUESTION", help="files to ask, then the question last")
    chat = _command(commands, "chat", _chat, "a conversation in the terminal", models=True)
    chat.add_argument("files", nargs="*", type=Path, metavar="FILE", help="files to ask; none: all that is indexed")
    search = _command(commands, "search", _search, "show the best passages, without asking a model")
    search.add_argument("inputs", nargs="+", metavar="FILE... QUESTION", help="files to search, then the question last")
    index = _command(commands, "index", _index, "add files to the index; without files, list what is in it")
    index.add_argument("files", nargs="*", type=Path, metavar="FILE", help="txt, md, pdf, docx, html, csv, xlsx")
    remove = _command(commands, "remove", _remove, "delete documents from the index: vectors, text and record")
    remove.add_argument("documents", nargs="+", metavar="DOCUMENT", help="name or id (its first characters do)")
    measured = _command(commands, "eval", _eval, "measure the answers to questions of your own", models=True)
    add_options(measured)
    doctor = _command(commands, "doctor", _doctor, "check what is installed, models, device, memory, disk", models=True)
    doctor.add_argument("--load", action="store_true", help="also load the models and answer one question")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, *, models: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on stderr")
    parser.add_argument(
        "--index-dir", type=Path, metavar="DIR", help=f"where the index persists (default: {DEFAULT_INDEX})"
    )
    parser.add_argument("--embedder", metavar="ID", help="embedder: a Hub id or a folder (default: MiniLM)")
    parser.add_argument("--top-k", type=int, metavar="N", help="passages to find (default: 5)")
    if models:
        parser.add_argument("--model", metavar="ID", help="generator: a Hub id or a folder (default: by the device)")
        parser.add_argument("--tokenizer", metavar="ID", help="its tokenizer, where it stands elsewhere")
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where the generator runs")
        parser.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that generates instead")
        parser.add_argument("--load-in-4bit", action="store_true", default=None, help="NF4: a quarter of the memory")
        parser.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer in tokens")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Errors raised on purpose become one line on stderr."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    _calm_libraries()
    try:
        return int(parsed.run(parsed))
    except RagError as error:
        note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        note("stopped")
        return 1
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has what it wanted; nothing more can be said to it.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        return 0


def _calm_libraries() -> None:
    """Keep the libraries' own progress bars and notices out of stderr, which is ours to explain things on."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_NO_ADVISORY_WARNINGS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in ("transformers", "huggingface_hub", "chromadb", "sentence_transformers", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _config(options: argparse.Namespace) -> RagConfig:
    config = RagConfig.from_env()
    settings = {
        "index.directory": options.index_dir or config.index.directory or DEFAULT_INDEX,
        "embedding.model": options.embedder,
        "retrieval.k": options.top_k,
        "generation.model": getattr(options, "model", None),
        "generation.tokenizer": getattr(options, "tokenizer", None),
        "generation.device": getattr(options, "device", None),
        "generation.endpoint": getattr(options, "endpoint", None),
        "generation.load_in_4bit": getattr(options, "load_in_4bit", None),
        "generation.max_new_tokens": getattr(options, "max_new_tokens", None),
    }
    for path, value in settings.items():
        if value is not None:
            config = config.with_setting(path, value)
    return config


def _pipeline(options: argparse.Namespace) -> Any:
    from rag_core.pipeline import RagPipeline

    return RagPipeline(_config(options))


def _add(rag: Any, files: Sequence[Path], options: argparse.Namespace) -> list[Document]:
    documents = []
    for path in files:
        with ProgressLine(path.name, quiet=options.quiet) as progress:
            document = rag.add_document(path, on_progress=progress)
        for warning in document.warnings:
            if not options.quiet:
                note(f"{plain(document.name)}: {plain(warning)}")
        documents.append(document)
    return documents


def _split_inputs(options: argparse.Namespace) -> tuple[list[Path], str]:
    """Return the files and the question; a last word that is a file means that the question was forgotten."""
    *files, question = options.inputs
    if Path(question).is_file():
        raise QuestionError(f"{question} is a file; put the question last, in quotation marks")
    return [Path(file) for file in files], question


def _ask(options: argparse.Namespace) -> int:
    files, question = _split_inputs(options)
    with _pipeline(options) as rag:
        rag.prepare()
        chosen = [document.id for document in _add(rag, files, options)] or None
        if not rag.generator.loaded:
            with ProgressLine("model", quiet=options.quiet) as progress:
                rag.generator.load(progress)
        answer = _stream(rag.stream(question, document_ids=chosen), show=not options.json)
        if options.json:
            write(json.dumps(answer_dict(answer), ensure_ascii=False, indent=2) + "\n")
        elif not options.quiet:
            print_answer_notes(answer)
    return 0


def _stream(events: Any, *, show: bool) -> Answer:
    for event in events:
        if isinstance(event, TextEvent) and show:
            write(plain(event.text, keep="\n\t"))
        elif isinstance(event, DoneEvent):
            if show:
                write("\n")
            return event.answer
    raise RagError("The answer ended early; ask again")


def _chat(options: argparse.Namespace) -> int:
    with _pipeline(options) as rag:
        rag.prepare()
        chosen = [document.id for document in _add(rag, options.files, options)] or None
        with ProgressLine("model", quiet=options.quiet) as progress:
            rag.warm_up(progress)
        if not options.quiet:
            note("Ask a question; an empty line or Ctrl-D ends.")
        history: list[Message] = []
        while question := _read_question():
            try:
                answer = _stream(rag.stream(question, history, document_ids=chosen), show=not options.json)
            except QuestionError as error:
                note(f"error: {error}")
                continue
            if options.json:
                write(json.dumps(answer_dict(answer), ensure_ascii=False) + "\n")
            elif not options.quiet:
                print_answer_notes(answer)
            history += [Message("user", question), Message("assistant", answer.text)]
    return 0


def _read_question() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.readline().strip()


def _search(options: argparse.Namespace) -> int:
    files, question = _split_inputs(options)
    with _pipeline(options) as rag:
        chosen = [document.id for document in _add(rag, files, options)] or None
        hits = rag.search(question, options.top_k, document_ids=chosen)
        if options.json:
            write(
                json.dumps({"question": question, "hits": [hit_dict(hit) for hit in hits]}, ensure_ascii=False) + "\n"
            )
            return 0
        for number, hit in enumerate(hits, start=1):
            place = f"{plain(hit.document.name)}, page {hit.page}, characters {hit.start}-{hit.end}"
            write(f"[{number}] {place}, score {hit.score:.2f}\n{plain(hit.text, keep=chr(10))}\n\n")
    return 0


def _eval(options: argparse.Namespace) -> int:
    questions = read_questions(options.questions)
    with _pipeline(options) as rag:
        return run(rag, questions, _add(rag, document_files(options, questions), options), options)


def _index(options: argparse.Namespace) -> int:
    with _pipeline(options) as rag:
        documents = _add(rag, options.files, options) if options.files else list(rag.documents())
        if options.json:
            write(json.dumps({"documents": [document_dict(item) for item in documents]}, ensure_ascii=False) + "\n")
            return 0
        for document in documents:
            counts = f"{document.page_count} pages, {document.chunk_count} passages"
            write(f"{document.id[:12]}  {plain(document.name)}  {counts}\n")
        if not documents and not options.quiet:
            note("The index is empty; add files with: python -m rag_core index FILE...")
    return 0


def _remove(options: argparse.Namespace) -> int:
    with _pipeline(options) as rag:
        removed = [_find(rag.documents(), wanted) for wanted in options.documents]
        for document in dict.fromkeys(removed):
            rag.remove_document(document.id)
            if not options.json:
                write(f"removed {plain(document.name)}\n")
        if options.json:
            write(json.dumps({"removed": [document.id for document in removed]}) + "\n")
    return 0


def _find(documents: Sequence[Document], wanted: str) -> Document:
    """Return the one document of that name, id or beginning of an id (at least 6 characters)."""
    found = [
        document
        for document in documents
        if wanted in (document.id, document.name)
        or Path(wanted).name == document.name
        or (len(wanted) >= 6 and document.id.startswith(wanted))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise DocumentNotFoundError(f"{wanted} names {len(found)} documents; give the id that `index` lists")
    raise DocumentNotFoundError(f"No document is called {wanted}; `python -m rag_core index` lists what there is")


def _doctor(options: argparse.Namespace) -> int:
    from rag_core.doctor import examine

    checks = examine(_config(options), load=options.load)
    if options.json:
        write(json.dumps({"checks": [check.as_dict() for check in checks]}, ensure_ascii=False, indent=2) + "\n")
    else:
        for check in checks:
            write(f"{check.mark}  {check.name:<14} {check.found}\n")
            if check.advice:
                write(f"{'':<6}{'':<15}-> {check.advice}\n")
    return 1 if any(check.state == "bad" for check in checks) else 0

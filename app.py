"""The app: chat over your documents in the browser, the same over named endpoints, two tools over MCP.

Start it with `python app.py`; it listens on 127.0.0.1:7860 (GRADIO_SERVER_NAME and GRADIO_SERVER_PORT change that).
This module only puts the parts of `ui` together.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.environment import on_space, prepare

prepare()

import gradio as gr  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from rag_core import RagConfig, RagError  # noqa: E402
from ui.conversation import Conversation  # noqa: E402
from ui.desk import Desk  # noqa: E402
from ui.documents import documents_html  # noqa: E402
from ui.endpoints import Endpoints  # noqa: E402
from ui.handlers import Handlers  # noqa: E402
from ui.page import header_html, hero_html, privacy_html, tabs_html  # noqa: E402
from ui.settings import AppSettings  # noqa: E402
from ui.sources import empty_panel  # noqa: E402
from ui.theme import BRIDGE, HEAD, STYLE_SHEET, theme  # noqa: E402
from ui.tools import Tools, offer_only  # noqa: E402
from ui.uploads import keep_uploads_apart  # noqa: E402
from ui.web import Guard  # noqa: E402

if TYPE_CHECKING:
    from rag_core.pipeline import RagPipeline

SAMPLES = Path(__file__).parent / "sample_files"
SUFFIXES = [".pdf", ".docx", ".xlsx", ".csv", ".tsv", ".html", ".htm", ".md", ".txt"]
SEND = "() => setTimeout(() => document.querySelector('#rag-chat .submit-button')?.click(), 80)"


@dataclass
class App:
    """The page with what stands behind it."""

    demo: gr.Blocks
    desk: Desk
    tools: Tools

    def close(self) -> None:
        """Delete every visitor's documents."""
        self.tools.close()
        self.desk.store.close()


def build_app(pipeline: RagPipeline, settings: AppSettings, samples: Path = SAMPLES) -> App:
    """Return the app over a pipeline; loads no model and starts nothing."""
    desk = Desk(pipeline, settings, samples)
    handlers, tools = Handlers(desk), Tools(desk)
    blocks = gr.Blocks(
        title="RagOptimize", analytics_enabled=False, fill_height=True, fill_width=True, delete_cache=(300, 900)
    )
    with blocks as demo:
        header = gr.HTML(header_html("Starting", ready=False), elem_id="rag-header")
        gr.HTML(tabs_html(), elem_id="rag-tabs")
        bridge = gr.HTML("", js_on_load=BRIDGE, elem_id="rag-bridge")
        kept = gr.HTML("", elem_id="rag-kept")
        with gr.Row(elem_id="rag-main"):
            with gr.Column(elem_id="rag-side", min_width=0):
                drop = gr.File(
                    file_count="multiple", file_types=SUFFIXES, show_label=False, height=132, elem_id="rag-drop"
                )
                listed = gr.HTML(documents_html(()), elem_id="rag-list")
                gr.HTML(desk.samples.files_html(), elem_id="rag-samples")
                gr.HTML(privacy_html(settings), elem_id="rag-privacy")
            with gr.Column(elem_id="rag-sources", min_width=0, render=False) as sources:
                panel = gr.HTML(empty_panel(), elem_id="rag-panel")
            with gr.Column(elem_id="rag-chat", min_width=0):
                gr.HTML(hero_html(desk.samples), elem_id="rag-hero")
                chat = _conversation(handlers, panel)
            sources.render()
        clock = gr.Timer(1.5)
        _wire(handlers, bridge, drop, listed, panel, chat)
        bridge.rag_judge(handlers.judge, None, [kept], show_progress="hidden", api_visibility="private")
        clock.tick(
            lambda: (header_html(desk.warmer.words(), desk.warmer.ready), gr.Timer(active=not desk.warmer.ready)),
            None,
            [header, clock],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        Endpoints(desk).register()
        tools.register()
        demo.unload(handlers.leave)
    # The last resort against a flood of clicks and calls; questions are bounded more tightly at the desk.
    demo.queue(max_size=64 + 2 * settings.queue_size, default_concurrency_limit=8)
    return App(demo, desk, tools)


def _conversation(handlers: Handlers, panel: gr.HTML) -> Conversation:
    return Conversation(
        handlers.chat,
        additional_outputs=[panel],
        # Nothing is read as Markdown: a visitor's words are shown as typed, answers come as markup of our own.
        chatbot=gr.Chatbot(
            show_label=False, render_markdown=False, latex_delimiters=[], buttons=[], elem_id="rag-log", height="100%"
        ),
        textbox=gr.Textbox(
            placeholder="Ask about your documents",
            show_label=False,
            submit_btn=True,
            stop_btn=True,
            max_lines=6,
            max_length=2_000,
            elem_id="rag-question",
        ),
        concurrency_limit=None,  # the desk keeps the line, and tells those who wait
        show_progress="hidden",
        # Programs use the endpoint of that name in ui.endpoints.
        api_name="page_chat",
        api_visibility="private",
        fill_width=True,
    )


def _wire(
    handlers: Handlers, bridge: gr.HTML, drop: gr.File, listed: gr.HTML, panel: gr.HTML, chat: gr.ChatInterface
) -> None:
    """Connect the components to the handlers."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    uploads: dict[str, Any] = {**quiet, "concurrency_id": "uploads"}
    drop.upload(handlers.upload, [drop], [listed, drop], preprocess=False, **uploads)
    bridge.rag_sample(handlers.sample, None, [listed], **uploads)
    bridge.rag_ask(handlers.sample_question, None, [listed, chat.textbox], **uploads).success(
        None, None, None, js=SEND, api_visibility="private"
    )
    bridge.rag_remove(handlers.remove, None, [listed, panel], **quiet)
    bridge.rag_dismiss(handlers.dismiss, None, [listed], **quiet)
    bridge.rag_source(handlers.open_source, None, [panel], **quiet)
    bridge.rag_view(handlers.open_view, None, [panel], **quiet)
    # Gradio's own stop ends the event; this one ends the model's work as well, at once and for certain.
    chat.textbox.stop(handlers.stop, None, None, queue=False, **quiet)


def main() -> int:
    """Serve until interrupted; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.WARNING)  # some libraries set their own loggers to tell everything
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        from rag_core.pipeline import RagPipeline

        settings, config = AppSettings.from_env(), RagConfig.from_env()
        app = build_app(RagPipeline(config), settings)
    except RagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        _serve(app, config)
    finally:
        app.close()
    return 0


def _serve(app: App, config: RagConfig) -> None:
    store = app.desk.store
    keep_uploads_apart()
    _, url, _ = app.demo.launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if on_space() else "127.0.0.1"),  # noqa: S104
        max_file_size=config.limits.file_bytes,
        app_kwargs={"middleware": [Middleware(Guard, secure=on_space(), on_return=store.find)]},
        theme=theme(),
        css_paths=STYLE_SHEET,
        head=HEAD,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=True,
        state_session_capacity=2_000,
        prevent_thread_lock=True,
        quiet=True,
    )
    offer_only(app.demo)
    # Gradio itself keeps the conversation of a closed page for an hour; it quotes the documents, so it goes with them.
    store.on_gone = lambda key: app.demo.state_holder.session_data.pop(key[0], None)
    if app.desk.settings.warm_up:
        app.desk.warmer.start()
    print(f"RagOptimize is at {url}  (MCP at {url.rstrip('/')}/gradio_api/mcp/; Ctrl-C ends it)", flush=True)
    app.demo.block_thread()


if __name__ == "__main__":
    sys.exit(main())

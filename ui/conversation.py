"""Gradio's chat interface, with the visitor's words shown as they were typed."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.markup import escape

__all__ = ["Conversation"]


class Conversation(gr.ChatInterface):
    """A ChatInterface that escapes what the visitor types: the chat component takes any string for markup.

    Overrides two methods that Gradio keeps to itself; its version is pinned, and the browser tests watch both.
    """

    def _append_message_to_history(self, message: Any, history: Any, role: Any = "user") -> list[Any]:
        if role == "user" and isinstance(message, str):
            message = escape(message)
        return super()._append_message_to_history(message, history, role)

    def _clear_and_save_textbox(self, message: Any) -> tuple[Any, Any]:
        # Unlike the original it leaves the placeholder alone, which would else be lost after the first question.
        return gr.Textbox("", interactive=False), message

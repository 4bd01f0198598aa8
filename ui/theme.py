"""How the app looks: a theme over Gradio's variables, with the style sheet and script of `ui/static`."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

__all__ = ["BRIDGE", "HEAD", "STYLE_SHEET", "theme"]

_STATIC = Path(__file__).parent / "static"
STYLE_SHEET = _STATIC / "app.css"
# Runs inside the page's bridge component: clicks on our buttons become events of that component.
BRIDGE = (_STATIC / "bridge.js").read_text(encoding="utf-8")
HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
    # The style sheet is confined to the page's parts by Gradio; what lies around them is set here.
    "<style>html, body { background: #f4f5f3; } html:has(.dark), body.dark { background: #10161b; }"
    "body footer { justify-content: flex-end !important; margin: 0 !important; padding: 2px 20px 6px !important; }"
    "body footer button { font-size: 12px !important; } body footer .divider { display: none !important; }"
    "@media (max-width: 900px) { body footer { display: none !important; } }</style>"
)

_INK = gr.themes.Color(
    name="ink",
    c50="#f6f7f8",
    c100="#eceff1",
    c200="#dbe0e4",
    c300="#bcc5cc",
    c400="#8a97a1",
    c500="#5f6d78",
    c600="#45525c",
    c700="#313c45",
    c800="#1c252c",
    c900="#141b21",
    c950="#0d1216",
)
_PETROL = gr.themes.Color(
    name="petrol",
    c50="#eef6f6",
    c100="#d5e8e9",
    c200="#aed3d5",
    c300="#7fb7ba",
    c400="#4c9599",
    c500="#28777c",
    c600="#175f64",
    c700="#134d52",
    c800="#113f43",
    c900="#0e3236",
    c950="#082023",
)


def theme() -> gr.themes.Base:
    """Return the theme; its fonts come with Gradio, so that the page asks no other host for any.

    Of the weights that Gradio brings, regular and bold are whole; its semibold file lacks most letters.
    """
    return gr.themes.Base(
        primary_hue=_PETROL,
        secondary_hue=_PETROL,
        neutral_hue=_INK,
        radius_size=gr.themes.sizes.radius_sm,
        font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"),
    ).set(
        body_background_fill="#f4f5f3",
        body_background_fill_dark="#10161b",
        block_background_fill="#ffffff",
        block_background_fill_dark="#161e24",
        block_border_width="0px",
        block_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="#ffffff",
        input_background_fill="#ffffff",
        input_background_fill_dark="#161e24",
    )

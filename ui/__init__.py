"""The Gradio app's parts: sessions, rendering, event handlers, endpoints, looks. Only `app.py` puts them together."""

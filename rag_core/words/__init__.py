"""Passages found by their words: BM25 in segments, the vocabulary of finance, and how text becomes words."""

"""Hostile passages in otherwise good documents, generated; used by `bench.injection` and by the tests."""

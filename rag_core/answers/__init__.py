"""Making an answer from its hits: read out of the document or written by a model, tied to passages, or withheld."""

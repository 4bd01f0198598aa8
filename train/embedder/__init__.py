"""Search by meaning: pairs of question and passage that fine-tune the sentence encoder, and what judges it."""

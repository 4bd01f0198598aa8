"""Reading: rows of our own that teach a small model to answer from a passage in its words, or to say that it does not."""

"""The documents of one owner and their vectors: in memory, in a folder, or on a server; found by meaning and by words."""

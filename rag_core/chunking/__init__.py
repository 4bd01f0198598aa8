"""A document to passages for the prompt, and to the windows under which they are found."""

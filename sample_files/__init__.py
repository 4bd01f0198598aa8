"""Sample documents of our own writing, and what builds them."""

"""A question to ranked passages: nearness of meaning and shared words weighed, and read again by a cross-encoder if asked."""

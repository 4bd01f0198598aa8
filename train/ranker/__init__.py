"""A small model that learns which passages of many hold what a question asks for."""

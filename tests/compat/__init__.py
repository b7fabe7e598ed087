"""Clients that exist, unchanged, at a Menshen that speaks their dialects."""

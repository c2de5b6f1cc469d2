"""Requests, responses and errors to plain facts, by shape."""

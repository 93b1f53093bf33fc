"""Scores at stations hidden from every method, on public data, beside published figures."""

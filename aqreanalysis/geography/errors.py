"""Errors of attributes of places."""


class GeographyError(ValueError):
    """A field of attributes that cannot be used, or a name of none; the message says why."""

"""What verification refuses."""


class VerificationError(ValueError):
    """Observations, a product or a request that cannot be verified; the message says why."""

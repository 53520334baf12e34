from __future__ import annotations


class MimicError(ValueError):
    """A mistake the user can fix, told in one line; command lines exit with code 2."""

    user_error = True

from __future__ import annotations


class RobotError(ValueError):
    """A robot that cannot be loaded, told in one line.

    Command lines print it without a traceback and exit with code 2.
    """

    user_error = True

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))

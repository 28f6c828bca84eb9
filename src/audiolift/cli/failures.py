"""How a command ends when it does not end well."""

REFUSED, USAGE, LOGGED_OUT, NOT_CONVERTED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 5, 130


class Failure(Exception):  # noqa: N818 - an outcome that is told, not a defect
    """Ends a command with one sentence.

    Attributes:
        exit_code: One of the codes of this module.
        code: The server's stable code, where the server said it.
    """

    def __init__(self, exit_code: int, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.code = code

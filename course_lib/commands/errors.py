"""The one exception that a subcommand raises when the user can put things right."""


class UserError(Exception):
    """A sentence for the person at the terminal: what was wrong, what was seen, what to do.

    `course` prints it without a traceback and exits with `code`.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code

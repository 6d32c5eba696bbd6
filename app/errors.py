"""What a service may refuse, and the HTTP status that each refusal becomes.

Services raise these and never an HTTP exception; one handler in app.web.errors turns them into a
page, a toast or a JSON problem. The message is shown to people: a sentence that says what to do.
"""


class DomainError(Exception):
    """A refusal in words. `status` is the HTTP status, `message` the sentence people read."""

    status = 400
    title = "That did not work"

    def __init__(self, message: str, *, field: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.line = line


class NotFound(DomainError):
    status = 404
    title = "Not found"


class Conflict(DomainError):
    status = 409
    title = "Someone or something else was first"


class Forbidden(DomainError):
    status = 403
    title = "Not allowed"


class Unauthenticated(DomainError):
    status = 401
    title = "Please sign in"


class Invalid(DomainError):
    status = 422
    title = "Please correct this"


class TooLarge(DomainError):
    status = 413
    title = "Too large"


class TooMany(DomainError):
    status = 429
    title = "Too many attempts"

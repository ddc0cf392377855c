"""The one error type that every part of fusekit may raise at a user."""


class UserError(Exception):
    """Something the user did or has: one sentence that says what came, what is known and what to type.

    The command line prints the text without a traceback and exits with code 2.
    """

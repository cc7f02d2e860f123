"""What the person is told when something did not work: one line that says what to do."""


class Problem(Exception):  # noqa: N818 - read by a person, not a programmer's error
    """Ends a command with exit status 1 and this text."""

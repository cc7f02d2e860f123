def demo() -> None:
    """Run it."""

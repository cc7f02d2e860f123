"""One word names all that a domain has."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Named:
    """A domain's names for others, by the rule that every domain follows."""

    name: str
    topic: str = field(default="", kw_only=True)  # of requests, where it is not the name's

    @property
    def requests(self) -> str:
        return self.topic or f"{self.name}.requests.v1"

    @property
    def results(self) -> str:
        return f"{self.name}.results.v1"

    @property
    def dead_letters(self) -> str:
        return f"{self.name}.dead-letters.v1"

    @property
    def service(self) -> str:
        """The full name of the domain's gRPC service."""
        return f"tidemill.{self.name}.v1.{self.name.capitalize()}Service"

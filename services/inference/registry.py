"""Which versions can answer now: of each model the live one and, kept warm for a way back, the one before."""

from dataclasses import dataclass, field

from services.inference.refusal import unknown
from services.inference.served import Served
from services.inference.statistics import Record

WARM = 2  # versions of a model in memory
MAX_NAME = 64


@dataclass(slots=True)
class Entry:
    """One model. `versions` has the live one first."""

    versions: list[Served]
    trouble: str = ""  # why the version that the ledger wants is not live here
    wanted: str = ""


@dataclass(slots=True)
class Registry:
    models: dict[str, Entry] = field(default_factory=dict)
    records: dict[tuple[str, str], Record] = field(default_factory=dict)  # (model, version) -> its statistics
    ready: bool = False  # every model that was live when we started is

    def find(self, name: str, version: str = "") -> Served:
        """The live version, or the one asked for.

        Raises:
            Refusal: NOT_FOUND.
        """
        entry = self.models.get(name)
        if entry is None or not entry.versions:
            raise unknown(f"no live model {name[:MAX_NAME]!r} is here; live: {', '.join(self.live()) or 'none'}")
        for served in entry.versions:
            if version in {"", served.version}:
                return served
        known = ", ".join(served.version for served in entry.versions)
        raise unknown(f"model {name} has no version {version[:MAX_NAME]!r} in memory; it has {known}")

    def live(self) -> list[str]:
        return sorted(name for name, entry in self.models.items() if entry.versions)

    def record(self, served: Served) -> Record:
        return self.records.setdefault((served.name, served.version), Record())

    def warm(self, name: str, version: str) -> Served | None:
        """The version, if it is still in memory."""
        entry = self.models.get(name)
        return next((served for served in entry.versions if served.version == version), None) if entry else None

    def install(self, served: Served) -> None:
        """Makes it live, from the next request on. Requests under way keep the version that they began with."""
        entry = self.models.setdefault(served.name, Entry([]))
        entry.versions = [served, *(each for each in entry.versions if each.version != served.version)][:WARM]
        entry.trouble = ""
        self.record(served)

    def refuse(self, name: str, version: str, why: str) -> None:
        """The ledger wants this version, but it cannot be loaded: what was live stays so."""
        entry = self.models.setdefault(name, Entry([]))
        entry.wanted, entry.trouble = version, why

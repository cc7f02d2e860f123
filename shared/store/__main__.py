"""`python -m shared.store migrate`: brings the schema of TIDEMILL_POSTGRES up to date."""

import asyncio
import logging
import sys

from shared.settings import Settings
from shared.store.engine import place_of
from shared.store.migrate import migrate


def main(arguments: list[str]) -> int:
    if arguments != ["migrate"]:
        sys.stderr.write("usage: python -m shared.store migrate\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    url = Settings().postgres
    asyncio.run(migrate(url))
    logging.getLogger("shared.store").info("the schema of postgres at %s is up to date", place_of(url))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

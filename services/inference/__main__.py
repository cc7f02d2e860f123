"""`python -m services.inference serve`"""

import logging
import sys

import uvloop

from services.inference.serve import serve
from services.inference.threads import set_waiting
from shared import telemetry
from shared.bundle import BundleError
from shared.settings import Settings


def main(arguments: list[str]) -> int:
    if arguments != ["serve"]:
        sys.stderr.write("usage: python -m services.inference serve\n")
        return 2
    set_waiting()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    telemetry.start("inference")
    try:
        uvloop.run(serve(Settings()))
    except BundleError as error:
        logging.getLogger("services.inference").critical("not serving: %s", error)
        return 1
    finally:
        telemetry.stop()
    logging.getLogger("services.inference").info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

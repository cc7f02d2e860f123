"""`python -m services.imaging stream|serve`."""

from services.imaging.wiring import DOMAIN
from shared.run import run

if __name__ == "__main__":
    run(DOMAIN)

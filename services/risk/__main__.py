"""`python -m services.risk stream|serve`."""

from services.risk.wiring import DOMAIN
from shared.run import run

if __name__ == "__main__":
    run(DOMAIN)

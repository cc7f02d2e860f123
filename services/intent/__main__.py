"""`python -m services.intent stream|serve`."""

from services.intent.wiring import DOMAIN
from shared.run import run

if __name__ == "__main__":
    run(DOMAIN)

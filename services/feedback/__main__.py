"""`python -m services.feedback stream|serve`."""

from services.feedback.wiring import DOMAIN
from shared.run import run

if __name__ == "__main__":
    run(DOMAIN)

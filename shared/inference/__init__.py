"""The shared inference service, as a domain sees it; `contract` says what may be asked and what comes back."""

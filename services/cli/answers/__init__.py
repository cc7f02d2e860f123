"""What the services answer, read for a person."""

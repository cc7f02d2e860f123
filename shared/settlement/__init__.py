"""What events come to, whichever door they came through."""

"""Financial-news risk."""

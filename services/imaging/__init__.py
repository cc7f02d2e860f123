"""Medical images. Research use, not a medical device."""

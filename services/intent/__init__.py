"""Customer-service intent."""

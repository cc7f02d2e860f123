"""Postgres, which holds the truth (`postgres.Store`), and Redis, which holds projections of it (`redis.Projection`)."""

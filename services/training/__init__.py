"""Retraining as a job: labels in, a sealed bundle out, and a gate that decides whether it goes live."""

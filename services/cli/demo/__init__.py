"""The main job, run before your eyes: events in, answers out, people's corrections back into a better model."""

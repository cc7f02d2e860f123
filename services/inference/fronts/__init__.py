"""Several processes that speak gRPC, in front of the one that computes.

`front` is such a process: it listens on the port that all of them share, reads and checks requests and writes answers, with the same
servicer as a process that does everything. What it asks models for goes, through a `pipe`, to the process with the device, where a `link`
answers for each front. That process decides who is let in and what is computed next, so no caller gains or loses by where its connection
landed. `hall` starts the fronts, starts those again that ended, and tells them what is live.
"""

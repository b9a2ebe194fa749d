"""Headrace beside its peers: processor time, memory and latency on the same work, in one run."""

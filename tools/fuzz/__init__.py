"""Fuzzing: damaged model files go through the whole of qgraph, and each ends in a result or in one sentence."""

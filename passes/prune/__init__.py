"""Passes that make a network smaller: channels, heads, layers, and single weights."""

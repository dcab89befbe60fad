"""Quantizer arithmetic on arrays; knows no graph."""

"""Taps: values that a student and its teacher are compared at."""

"""Recordings of an effect: find, check and align them, split them, and capture new ones."""

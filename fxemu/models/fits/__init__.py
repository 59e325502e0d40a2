"""Fits in closed form, one a file, each named like its model."""

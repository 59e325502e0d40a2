"""Measurements of a trained emulation beyond its error on songs: level, contraction, aliasing, decay, stability."""

"""Recordings of an effect: found, aligned, checked and made into pairs."""

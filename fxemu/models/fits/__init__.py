"""Fits in closed form, one a file: filters, echoes, rates of movement, oscillators, gains."""

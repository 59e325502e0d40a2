"""Audio files and interfaces: decode, encode, resample, measure. Imports nothing, so that a worker starts fast."""

"""Sound files and devices: decoded, encoded, resampled, measured. Imports nothing, so that a worker starts soon."""

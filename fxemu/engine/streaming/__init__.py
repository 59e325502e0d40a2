"""One stream, block by block: rendering and playing."""

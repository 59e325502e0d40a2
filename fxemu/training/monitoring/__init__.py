"""Monitoring of a training: lines in the terminal, loggers, and charts and sounds in TensorBoard."""

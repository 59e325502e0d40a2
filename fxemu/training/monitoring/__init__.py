"""What is shown of a training while it runs: lines in the terminal, loggers, and charts and sounds in TensorBoard."""

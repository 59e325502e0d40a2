"""Evaluation of a run: metrics, baselines, the report, plots, and comparing runs."""

"""What a run is worth: metrics, baselines, the report, plots, and comparing runs."""

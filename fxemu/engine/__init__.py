"""One step of a model as data (the plan), and everything that runs a plan. Knows no model and no audio."""

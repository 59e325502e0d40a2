"""Building blocks shared by predictors."""

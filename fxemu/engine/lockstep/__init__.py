"""Many streams side by side, with gradient: the rollouts of training."""

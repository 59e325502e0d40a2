"""Diagnosis of a box from dry and wet: what it is in a sentence, a table and a picture, before any training."""

from fxemu.evaluation.diagnosis.diagnose import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]

"""Diagnosis of a box from dry and wet: what it is in a sentence, a table and a picture, before any training."""

from fxemu.evaluation.diagnosis.diagnose import Diagnosis, box_sentence, diagnose

__all__ = ["Diagnosis", "box_sentence", "diagnose"]

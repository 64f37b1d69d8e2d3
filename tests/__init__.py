"""Tests of hem, one file per room."""

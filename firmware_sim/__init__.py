"""Simulated attesters: chips, fleets, and attackers, written from `protocols` alone."""

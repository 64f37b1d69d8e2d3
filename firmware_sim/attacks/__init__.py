"""The attack suite: every attacker of the simulator, many times over, against the real verifier in another process."""

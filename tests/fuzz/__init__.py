"""Damaged inputs: every format that clew reads, changed at random by a seed, must give right values or one clear line."""

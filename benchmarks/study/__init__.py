"""Which training makes topology better? Networks compared on tissue that they have not seen."""

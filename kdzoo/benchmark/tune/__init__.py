"""Equal tuning: as many trials for every row, chosen on validation."""

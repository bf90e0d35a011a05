"""Golden values: numbers that the papers' public code gave, kept as arrays and compared with ours."""

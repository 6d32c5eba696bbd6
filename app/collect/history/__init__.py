"""One's own answers: found by words, rating, flag, date and project."""

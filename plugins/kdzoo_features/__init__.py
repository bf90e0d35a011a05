"""Methods that transfer features and relations between samples, one a file."""

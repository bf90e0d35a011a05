"""The most probable state in which the rules hold: by enumeration, by integer programming, by gradients."""

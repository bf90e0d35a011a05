"""Logic on tensors: pure functions of truth degrees, probabilities and states."""

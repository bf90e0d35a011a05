"""Knowledge graphs: link prediction, entity alignment, decentralized attention, and self-distillation from the input table."""

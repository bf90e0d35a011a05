"""kdzoo: one knowledge-distillation engine, a registry of methods, recipes, and fair comparisons."""

"""Methods that compare Lipschitz constants of modules, one a file."""

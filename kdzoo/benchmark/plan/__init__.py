"""From a bench recipe to the runs that it asks for."""

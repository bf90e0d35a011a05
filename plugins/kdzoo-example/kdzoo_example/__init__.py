"""The smallest third-party plugin for kdzoo."""

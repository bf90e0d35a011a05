"""One small function per golden name, by family: it calls the project's public functions on a case."""

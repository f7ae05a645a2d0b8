"""Use-cases, called by the pages and the command line alike."""

"""The project's own record: registered data sets, audit events, promotions, workers; SQLite or PostgreSQL."""

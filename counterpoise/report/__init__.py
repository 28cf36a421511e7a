"""The page that shows a run: its answer, its tables and charts, and a room to listen in."""

"""Pictures of a light curve: what `series` reads and `picture` arranges, drawn by `figure` (matplotlib), `page` (HTML), `terminal` and `small`."""

"""Pictures of a light curve: `figure` makes files with matplotlib, `terminal` makes lines of text; both draw what `series` reads."""

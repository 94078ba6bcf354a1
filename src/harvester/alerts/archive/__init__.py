"""Nightly archives of alert packets: what there is, how it is read without un-tarring it, and how one alert of a night is found again."""

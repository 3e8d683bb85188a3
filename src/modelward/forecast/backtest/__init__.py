"""The back-test: generated histories whose truth is known, and how the forecasts did on them. Seeded, so repeatable."""

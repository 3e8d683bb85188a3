"""Where models are served from: each runtime's layout, read and written in the product's own words."""

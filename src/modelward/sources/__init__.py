"""Where good bytes can come from; what they give is checked against hashes that did not come from them (R2)."""

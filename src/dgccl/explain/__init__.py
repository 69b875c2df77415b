"""Why it decided so: shares of the modalities, maps of the pixels, and whether the gate means what it says."""

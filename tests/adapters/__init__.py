"""What each golden file is computed from: our functions, called with its arrays."""

"""What each dataset is, and how its raw form becomes rows."""

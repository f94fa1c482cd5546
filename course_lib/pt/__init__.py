"""What the PyTorch chapters export; `course_lib.tf` has the same names."""

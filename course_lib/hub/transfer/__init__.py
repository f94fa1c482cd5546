"""Repositories in and out: imported from files, exported, mirrored from another Hub."""

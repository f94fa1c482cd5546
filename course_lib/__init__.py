"""A course on Hugging Face Transformers that always runs: `course_lib.start()` is the first call of every notebook."""

__version__ = "0.1.0"

__all__ = ["start"]


def __getattr__(name: str):
    # `start` is looked up on first use, so that importing the package costs nothing.
    if name == "start":
        from course_lib.session import start

        return start
    raise AttributeError(f"module 'course_lib' has no attribute {name!r}")

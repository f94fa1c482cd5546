"""Build course_lib from settings.ini; a wheel also carries the notebooks and constraints.txt."""

import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
SKIP = {"__pycache__", ".ipynb_checkpoints"}
LICENSES = {"apache2": "Apache-2.0"}


def read_settings() -> dict[str, str]:
    """The [DEFAULT] section of settings.ini; comment lines are left out, several lines make one."""
    parser = ConfigParser(delimiters=["="], interpolation=None)
    parser.read(HERE / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def extras(settings: dict[str, str]) -> dict[str, list[str]]:
    """Every `NAME_requirements` of settings.ini, and `all`: whatever a reader may want."""
    suffix = "_requirements"
    found = {
        key.removesuffix(suffix): value.split()
        for key, value in settings.items()
        if key.endswith(suffix)
    }
    # One TensorFlow on every machine: the small build where it exists, the whole one elsewhere.
    small = "platform_machine in 'x86_64 AMD64' and sys_platform != 'darwin'"
    whole = "platform_machine not in 'x86_64 AMD64' or sys_platform == 'darwin'"
    found["all"] = [
        *found["pt"],
        *(f"{requirement}; {small}" for requirement in found["tf-cpu"]),
        *(f"{requirement}; {whole}" for requirement in found["tf"]),
        *found["offline"],
        *found["lab"],
        *found["metrics"],
        *found["training"],
    ]
    return found


def data_files(package: str) -> list[str]:
    """Every file below the package, relative to it: weights, templates, styles, Space scripts."""
    root = HERE / package
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not SKIP & set(path.parts) and path.suffix != ".pyc"
    )


class BuildWithNotebooks(build_py):
    """Copies what lives outside the package into the build folder (editable installs read it)."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return
        package = Path(self.build_lib) / "course_lib"
        shutil.copy2(HERE / "constraints.txt", package / "constraints.txt")
        notebooks = package / "notebooks"
        shutil.rmtree(notebooks, ignore_errors=True)  # one from an earlier build may be gone since
        for source in sorted((HERE / "nbs").rglob("*.ipynb")) + [HERE / "nbs" / "timings.json"]:
            if SKIP & set(source.parts) or not source.exists():
                continue
            target = notebooks / source.relative_to(HERE / "nbs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


settings = read_settings()
readme = HERE / "README.md"
setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    license=LICENSES[settings["license"]],
    keywords=settings["keywords"].split(),
    python_requires=f">={settings['min_python']}",
    # Namespace packages too: folders of templates, styles and weights hold no Python.
    packages=find_namespace_packages(
        include=["course_lib", "course_lib.*"], exclude=["*.__pycache__", "*.__pycache__.*"]
    ),
    package_data={"course_lib": data_files("course_lib")},
    install_requires=settings["requirements"].split(),
    extras_require=extras(settings),
    entry_points={"console_scripts": settings["console_scripts"].split()},
    cmdclass={"build_py": BuildWithNotebooks},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Natural Language :: English",
        "Programming Language :: Python :: 3",
        "Framework :: Jupyter",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    zip_safe=False,
)

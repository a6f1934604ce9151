"""Builds a wheel of this artefact: its package, the library, the weights and the tokenizer. The library is built by `make` only where it is not built."""

import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

NAME = "@name@"
MODULE = "@module@"
FILES = [@files@]
# `make` has the rest of the folder build.
BUILD = "build/objects/python"


def library() -> Path:
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    path = Path("build", f"{NAME}.dll" if sys.platform == "win32" else f"lib{NAME}.{suffix}")
    if not path.is_file():
        subprocess.run(["make", path.as_posix()], check=True)
    return path


class BuildPackage(build_py):
    """The Python files, and beside them those of the artefact that they need."""

    def run(self) -> None:
        super().run()
        for file in [library(), *map(Path, FILES)]:
            self.copy_file(str(file), str(Path(self.build_lib, MODULE, file.name)))


class PlatformDistribution(Distribution):
    """For this kind of machine alone, though Python compiles nothing."""

    def has_ext_modules(self) -> bool:
        return True


class BuildWheel(bdist_wheel):
    """For any Python 3."""

    def get_tag(self) -> "tuple[str, str, str]":
        return "py3", "none", super().get_tag()[2]


Path(BUILD).mkdir(parents=True, exist_ok=True)
setup(
    packages=[MODULE],
    package_dir={"": "python"},
    package_data={MODULE: ["py.typed"]},
    distclass=PlatformDistribution,
    cmdclass={"build_py": BuildPackage, "bdist_wheel": BuildWheel},
    options={"build": {"build_base": BUILD}, "egg_info": {"egg_base": BUILD}},
)

"""What several test files share."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_python():
    """Run code in a fresh interpreter that finds the same packages; returns what it prints."""

    def run(code, *arguments, **environment):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        env |= {"PYTHONDONTWRITEBYTECODE": "1"} | {k: str(v) for k, v in environment.items()}
        result = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", code, *map(str, arguments)],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run


@pytest.fixture(scope="session")
def expected():
    """The digest of an ordinary run, which also leaves compiled code for the other processes."""
    import surroundings

    return surroundings.fit(surroundings.make())


@pytest.fixture(scope="session")
def tiny():
    """The digest of an ordinary tiny run."""
    import surroundings

    return surroundings.finish(surroundings.start(surroundings.TINY))[0]

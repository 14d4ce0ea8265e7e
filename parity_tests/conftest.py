"""Header, mode and skipping of the parity tests: everything here needs live Keras."""

from __future__ import annotations

from pathlib import Path

import pytest

from minisgd.parity import environment
from minisgd.parity.probe import Mode, measured_mode

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --require-bits."""
    parser.addoption(
        "--require-bits",
        action="store_true",
        help="fail where the parity tests would fall back from equality to tolerances",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what the comparison runs on and what it demands."""
    lines = [f"parity: {environment.describe()}"]
    if not environment.reference_available():
        return [*lines, f"parity mode: skipped, no Keras; {environment.INSTALL_COMMAND}"]
    if config.option.collectonly or not _wanted(config):
        return lines
    try:
        mode = str(measured_mode())
    except Exception as error:  # the tests themselves will fail with the whole traceback
        mode = f"the probe failed: {type(error).__name__}: {error}"
    return [*lines, f"parity mode: {mode}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder's tests without Keras; let TensorFlow deprecate its own."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        if not environment.reference_available():
            reason = f"needs Keras on TensorFlow: {environment.INSTALL_COMMAND}"
            item.add_marker(pytest.mark.skip(reason=reason))
        # TensorFlow's own imports and calls, not ours.
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow"))
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"))


@pytest.fixture(scope="session")
def mode(request: pytest.FixtureRequest) -> Mode:
    """Return what the probe found; fail under --require-bits if it is not equality."""
    found = measured_mode()
    if request.config.getoption("--require-bits") and not found.bits:
        pytest.fail(f"--require-bits, but the parity mode here is {found}")
    return found


def _wanted(config: pytest.Config) -> bool:
    """Whether this folder's tests are among those asked for."""
    arguments = [Path(config.invocation_params.dir, a.split("::")[0]) for a in config.args]
    paths = [path.resolve() for path in arguments]
    return any(path == HERE or HERE in path.parents or path in HERE.parents for path in paths)

"""Cases that the Python library and the JavaScript package share (tests/vectors)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "vectors"


def vectors(name: str) -> Any:
    """Return the cases of a file."""
    return json.loads((FOLDER / f"{name}.json").read_text())

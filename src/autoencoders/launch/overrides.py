"""Paths on the command line, as Hydra reads them."""

import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from autoencoders.runs.paths import PATHS


def quote_paths(arguments: list[str]) -> None:
    """Have Hydra read paths as they are typed, such as those of jobs' folders: unquoted, `=` and
    `,` mean something to it, and letters such as `ö` are none."""
    parse = OverridesParser.create().parse_override
    for i, argument in enumerate(arguments):
        key, _, path = argument.partition("=")
        if key not in PATHS or not path:
            continue
        try:
            parse(argument)
            literal = bool(re.search("[=,]", path)) and Path(path).exists()
        except HydraException:
            literal = True
        if literal:
            arguments[i] = path_override(key, Path(path))


def path_override(key: str, path: Path) -> str:
    """Hydra's override that sets `key` to this path, whatever characters it has."""
    parse = OverridesParser.create().parse_override
    plain = re.fullmatch(r"[\w./:-]+", str(path), re.ASCII)  # of other letters it reads none
    if plain and isinstance(parse(f"{key}={path}").value(), str):
        return f"{key}={path}"
    # Inside quotes a backslash counts as one only before a quote.
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + m[2].replace('"', '\\"'), str(path))
    return f'{key}="{escaped}"'

"""What the decoding of images has found, kept beside them."""

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoencoders.data.images.decoding import Look
from autoencoders.data.images.frame import Frame
from autoencoders.files import open_whole, write_whole

NAMED = 5  # files that cannot be read and are named; the others are counted
DARK = 16  # bytes that are all below show a mask of class numbers, perhaps
ARRAYS = {"files": "q", "frames": "q", "digests": "Q", "deep": "q", "lows": "d", "highs": "d"}
TEXTS = ("damaged", "unreadable", "sizes", "kinds", "brightest")


@dataclass
class Notes:
    """What the decoding of images has found.

    files: (n,), the index of the file that each image is in.
    frames: (n,), and its number among the frames there.
    digests: (n,), a number for what the file holds, and for the frame.
    deep: (m,), which images have other values than bytes.
    lows, highs: (m,), their smallest and largest values.
    damaged: what is wrong with a file, or a frame of one, by its name.
    unreadable: why a file could not be opened, which may pass.
    sizes: how many images had a width and height, such as "640x480".
    kinds: how many were grey, in colour, transparent, one of several frames, with a window.
    brightest: the largest byte.
    """

    files: array = field(default_factory=lambda: array("q"))
    frames: array = field(default_factory=lambda: array("q"))
    digests: array = field(default_factory=lambda: array("Q"))
    deep: array = field(default_factory=lambda: array("q"))
    lows: array = field(default_factory=lambda: array("d"))
    highs: array = field(default_factory=lambda: array("d"))
    damaged: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=Counter)
    kinds: dict[str, int] = field(default_factory=Counter)
    brightest: int = 0

    def add(self, file: int, number: int, digest: int, frame: Frame, image: np.ndarray) -> None:
        """Take in the image that a frame has become."""
        if image.dtype == np.uint8:
            self.brightest = max(self.brightest, int(image.max()))
        else:
            self.deep.append(len(self.files))
            self.lows.append(float(image.min()))
            self.highs.append(float(image.max()))
        self.files.append(file)
        self.frames.append(number)
        self.digests.append(digest)
        self.sizes["{}x{}".format(*frame.size)] += 1
        self.kinds["grey" if frame.grey else "colour"] += 1
        self.kinds["transparent"] += frame.transparent
        self.kinds["several"] += frame.frames > 1
        self.kinds["window"] += frame.span is not None

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Names by the reason."""
        reasons = {"damaged": self.damaged, "unreadable": self.unreadable}
        return {reason: list(names) for reason, names in reasons.items() if names}

    def remarks(self, look: Look) -> list[str]:
        """Clauses of an inventory on how images were made one size, and what was lost."""
        kinds = Counter(self.kinds)
        grey, colour = kinds["grey"], kinds["colour"]
        clauses = {
            self._sizes(look): True,
            f"{colour:,} in colour are made grey (dataset.channels=3)": look.channels == 1
            and colour,
            "all are grey (dataset.channels=1)": look.channels == 3 and not colour,
            f"{kinds['transparent']:,} transparent on white": kinds["transparent"],
            f"the first frame of {kinds['several']:,} with several (dataset.frames=all)": (
                look.frames == "first" and kinds["several"]
            ),
            f"{kinds['window']:,} in the window that their files give (dataset.range=[low,high])": (
                look.span is None and kinds["window"]
            ),
            f"no value above {self.brightest} of 255 (dataset.range=[0,{self.brightest}])": (
                grey + colour > len(self.deep) and 0 < self.brightest < DARK
            ),
            f"cannot be read: {self.problems}": self.damaged or self.unreadable,
        }
        return [clause for clause, holds in clauses.items() if holds]

    def _sizes(self, look: Look) -> str:
        """What sizes images had, and what became of those that are no square."""
        sizes = np.array([[*map(int, size.split("x"))] for size in self.sizes])
        low, high = sizes.min(0), sizes.max(0)
        ends = ["{}x{}".format(*low), "{}x{}".format(*high)]
        size = f"from {' to '.join(dict.fromkeys(ends))} (width x height)"
        if (sizes[:, 0] == sizes[:, 1]).all() and look.crop is None:
            return size
        how = {
            "crop": "cropped to the square in the middle (dataset.fit=pad or stretch keeps all)",
            "pad": "with black beside them (dataset.fit=pad)",
            "stretch": "stretched (dataset.fit=stretch)",
        }
        fixed = f"cropped to {look.crop}x{look.crop}"
        return f"{size}, {how[look.fit] if look.crop is None else fixed}"

    @property
    def problems(self) -> str:
        """The first files that cannot be read, and why."""
        problems = {**self.damaged, **self.unreadable}
        named = [f"{name} ({reason})" for name, reason in [*problems.items()][:NAMED]]
        more = f" and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
        return ", ".join(named) + more

    def save(self, stem: Path) -> None:
        """Write them into two files."""
        with open_whole(stem.with_suffix(".npz")) as file:
            arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in ARRAYS}
            np.savez(file, **arrays)
        texts = {name: getattr(self, name) for name in TEXTS}
        write_whole(stem.with_suffix(".json"), json.dumps(texts))

    @classmethod
    def load(cls, stem: Path) -> "Notes":
        """Those that `save` has written."""
        values = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(stem.with_suffix(".npz"), allow_pickle=False) as file:
            values |= {name: array(kind, file[name].tobytes()) for name, kind in ARRAYS.items()}
        return cls(**values)

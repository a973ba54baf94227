"""Which split a sequence goes to. A group (a scene) is never in two of them."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from irdim.errors import InputError

_TRAIN, _VAL = 0.8, 0.9  # upper bounds of the hash
ENOUGH, LEAST = 10, 2  # of so many groups, so many are at least val, and test


def group_of(name: str, pattern: str | None) -> str:
    """The first match group of `pattern` in the name; without a pattern the name itself."""
    if pattern is None:
        return name
    match = _compiled(pattern).search(name)
    if not match or not match.group(1):
        raise InputError(f"--group '{pattern}': does not match the sequence '{name}'; widen it, '^(.*)$' matches all")
    return str(match.group(1))


def split_by_hash(groups: Iterable[str], there: Mapping[str, str]) -> dict[str, str]:
    """Split of each group: where it is already (`there`), else by the hash of its name, about 80 % train, 10 % val, 10 % test.

    At least one is train and, of two or more, one val: the lowest and the highest hash stand in. Of ENOUGH or more, LEAST are val and as many test, since
    one scene says little of others: the highest hashes of train. The same groups always get the same splits, also when some of them are there already from
    an import that was interrupted.
    """
    splits = {group: there.get(group) or _by_hash(group) for group in groups}
    free = sorted((group for group in splits if group not in there), key=_hash)
    present = {**there, **splits}
    if free and "train" not in present.values():
        splits[free[0]] = present[free[0]] = "train"
    if len(present) >= ENOUGH:
        for split in ("val", "test"):
            lacking = LEAST - list({**there, **splits}.values()).count(split)
            trains = [group for group in free if splits[group] == "train"]
            for group in trains[max(len(trains) - max(lacking, 0), 0) :]:
                splits[group] = split
    elif free and "val" not in present.values() and (present[free[-1]] != "train" or _trains(present) > 1):
        splits[free[-1]] = "val"
    return splits


def _matches(name: str, glob: str) -> bool:
    """A name is matched by itself, too, whatever brackets it has."""
    return name == glob or fnmatchcase(name, glob)


def split_by_globs(
    names: Sequence[str], val: Sequence[str], test: Sequence[str], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Split of each sequence: val or test where a glob matches its name, else as `given`, else train."""
    for option, globs in (("--val", val), ("--test", test)):
        for glob in globs:
            if not any(_matches(name, glob) for name in names):
                raise InputError(f"{option} '{glob}': matches no sequence ({names[0]} is one)")
    splits = {}
    for name in names:
        in_val, in_test = (any(_matches(name, glob) for glob in globs) for globs in (val, test))
        if in_val and in_test:
            raise InputError(f"{name}: matches both --val and --test; a sequence is in one split")
        splits[name] = "val" if in_val else "test" if in_test else (given or {}).get(name, "train")
    return splits


def check_groups(groups: Mapping[str, str], splits: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raises InputError where a group would be in two splits. By sequence name: `groups`, `splits`; by group: `there`."""
    first: dict[str, tuple[str, str]] = {group: (split, "in the data set") for group, split in there.items()}
    for name, group in groups.items():
        split, other = first.setdefault(group, (splits[name], name))
        if split != splits[name]:
            raise InputError(
                f"{name}: group '{group}' would be in '{splits[name]}' and '{split}' ({other}); change --val, --test or --group"
            )


def _by_hash(group: str) -> str:
    value = _hash(group)
    return "train" if value < _TRAIN else "val" if value < _VAL else "test"


def _hash(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def _trains(splits: Mapping[str, str]) -> int:
    return sum(split == "train" for split in splits.values())


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--group '{pattern}': not a regular expression ({error})") from None
    if not compiled.groups:
        raise InputError(
            f"--group '{pattern}': has no match group; put what names the scene in brackets, e.g. '^(.*)_[0-9]+$'"
        )
    return compiled

"""Old names of options: still read in this version, with one line of warning each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.renamed_settings import warn_renamed

SEARCH = {
    "--among": "--media-type",
    "--over": "--using",
    "--picture": "--image",
    "--sound": "--audio",
    "--without": "--minus",
}
RENAMED: Mapping[str, Mapping[str, str]] = {
    "search": SEARCH,
    "evaluate": {"--over": "--using"},
    "localise": {"--sound": "--audio"},
}


def with_new_names(words: Sequence[str]) -> list[str]:
    """A command line with each old option of its command under its new name; what follows `--` is
    not an option."""
    end = words.index("--") if "--" in words else len(words)
    command = next((word for word in words[:end] if not word.startswith("-")), "")
    table = RENAMED.get(command, {})
    renamed = []
    for word in words[:end]:
        option, equals, value = word.partition("=")
        if option in table:
            warn_renamed(option, table[option])
            option = table[option]
        renamed.append(option + equals + value)
    return [*renamed, *words[end:]]

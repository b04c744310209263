"""Lets torch for Linux load without the libraries for graphics cards that it is linked with.

    python stand_ins.py

PyPI has no other build of torch for Linux on x86-64 than the one for NVIDIA's cards. Its libraries name some fifteen others,
3 GB of them, none of which a processor needs. This writes empty ones of the same names beside torch's own: each
function that torch looks for is there, and answers that there is no card. Needs a C compiler and readelf.
"""

import collections
import ctypes
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

# What CUDA's functions return where there is no card (cudaErrorNoDevice).
NO_DEVICE = 100


def readelf(library, *what):
    command = ["readelf", "--wide", *what, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(library):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(library, "--dynamic"))


def files_of_versions(library):
    """Which library each version of a symbol is of."""
    files, file = {}, None
    for line in readelf(library, "--version-info").splitlines():
        if found := re.search(r"\bFile: (\S+)", line):
            file = found[1]
        elif file and (found := re.search(r"\bName: (\S+) +Flags:", line)):
            files[found[1]] = file
    return files


def symbols(library):
    """Name, version and section of each dynamic symbol that is not weak."""
    for line in readelf(library, "--dyn-syms").splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[0][:-1].isdigit() and fields[4] != "WEAK":
            name, _, version = fields[7].partition("@")
            yield name, version.lstrip("@"), fields[6]


def loads(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def write(folder, name, versions):
    """A library of functions by the version that each has."""
    every = sorted(set().union(*versions.values())) if versions else []
    source = folder / f"stand_in_{name}.c"
    source.write_text("".join(f"int {function}(void) {{ return {NO_DEVICE}; }}\n" for function in every))
    script = source.with_suffix(".map")
    nodes = []
    for version, functions in sorted(versions.items()):
        if version:
            nodes.append(f"{version} {{ global: {' '.join(f'{f};' for f in sorted(functions))} }};\n")
    command = [os.environ.get("CC", "cc"), "-shared", "-fno-builtin", "-w", f"-Wl,-soname,{name}", "-o"]
    command += [str(folder / name), str(source)]
    if nodes:
        script.write_text("".join(nodes))
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)
    source.unlink()
    script.unlink(missing_ok=True)


def main():
    torch = pathlib.Path(importlib.util.find_spec("torch").origin).parent
    folder = torch / "lib"
    own = sorted(folder.glob("*.so*"))
    runtime = [path.name for path in torch.parent.glob("nvidia/*/lib/*.so*")]
    there = {path.name for path in own}.union(runtime)
    asked = {name for library in own for name in needed(library)}
    missing = sorted(name for name in asked - there if not loads(name))
    if not missing:
        return
    defined, versioned, plain = set(), collections.defaultdict(lambda: collections.defaultdict(set)), set()
    for library in own:
        files = files_of_versions(library)
        for name, version, section in symbols(library):
            if section != "UND":
                defined.add(name)
            elif not version:
                plain.add(name)
            elif files.get(version) in missing:
                versioned[files[version]][version].add(name)
    # Which library these are of is not written anywhere, and does not matter.
    versioned[missing[0]][""] |= plain - defined
    for name in missing:
        write(folder, name, versioned[name])
    print(f"stand-ins for {', '.join(missing)}", file=sys.stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A second, independent checker of the audit chain: `verify_chain.py DIR` (the audit directory or its segments/).

Prints what it checked and exits 0, or prints the first fault and exits 1. Standard library only.
"""
import base64, hashlib, json, pathlib, sys

root = pathlib.Path(sys.argv[1])
folder = root / "segments" if (root / "segments").is_dir() else root
files = sorted(folder.glob("*.jsonl"))
due, link, records = None, None, 0
for number, file in enumerate(files):
    if due is not None and int(file.stem) != due:
        sys.exit(f"{file}: sequence {due} is missing")
    due = int(file.stem)
    link = "" if due == 1 else link
    *lines, rest = file.read_bytes().split(b"\n")
    if rest and number + 1 < len(files):
        sys.exit(f"{file}: ends inside a line")
    for line in lines:
        record = json.loads(line)
        if record["sequence"] != f"{due:020}" or (link is not None and record["prevhash"] != link):
            sys.exit(f"{file}: the chain breaks at sequence {due}")
        link = base64.b64encode(hashlib.sha256(line).digest()).decode()
        due, records = due + 1, records + 1
first = int(files[0].stem) if files else 0
print(f"{records} records, {len(files)} segments, {first}..{(due or 1) - 1}, head {link or ''}")

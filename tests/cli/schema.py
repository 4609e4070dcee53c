#!/usr/bin/env python3
"""schema.py PROXYD SCHEMA FILE...: whether the JSON schema and the loader agree about files.

What the loader takes, the schema must take too, as it stands and as `--print` writes it. What it refuses
and the schema can know about (see KNOWN), the schema must refuse.
"""

import json
import os
import subprocess
import sys

import jsonschema
import yaml

# Of tests/fuzz/corpus/config: mistakes that are no matter of references, names, syntax or variables.
KNOWN = {
    "deeper", "list_for_scalar", "misspelt", "misspelt_value", "null", "number_too_large",
    "scalar_for_mapping",
}
# And what must not pass: pieces that are put into a file that is fine.
WRONG = [
    {"listeners": []},
    {"listeners": [{"name": "x"}]},
    {"listeners": "127.0.0.1"},
    {"listeners": {"address": "127.0.0.1:1", "tcp": {"keepalive": {"interval": "1s"}}}},
    {"listeners": {"address": "127.0.0.1:1", "tcp": {"source": "127.0.0.1"}}},
    {"listeners": {"address": "127.0.0.1:1", "allow": "everybody"}},
    {"listeners": {"address": "127.0.0.1:1", "allow": []}},
    {"access_log": "access.log"},
    {"access_log": {"flows": "failed"}},
    {"access_log": {"to": "stderr", "flows": "some"}},
    {"routes": []},
    {"routes": {"match": {}}},
    {"routes": {"upstream": "a", "reject": "close"}},
    {"routes": {"reject": "drop"}},
    {"routes": {"original_destination": False}},
    {"routes": {"match": {"port": 65536}, "reject": "close"}},
    {"routes": {"match": {"protocol": ["tls", "smtp"]}, "reject": "close"}},
    {"upstreams": {"endpoints": "127.0.0.1:1"}},
    {"upstreams": {"name": "a", "endpoints": []}},
    {"upstreams": {"name": "a", "endpoints": {"weight": 3}}},
    {"upstreams": {"name": "a", "endpoints": {"address": "a:1", "srv": "b"}}},
    {"upstreams": {"name": "a", "endpoints": "a:1", "health": {"interval": "1s"}}},
    {"upstreams": {"name": "a", "endpoints": "a:1", "health": {"type": "tcp", "path": "/"}}},
    {"upstreams": {"name": "a", "endpoints": "a:1", "health": {"type": "expect"}}},
    {"upstreams": {"name": "a", "endpoints": "a:1", "retries": {"budget": 20}}},
    {"window": "4mb"},
    {"workers": 65},
    {"drain_timeout": 10},
    {"lane": True},
    {"x": 1},
]
FINE = {"listeners": "127.0.0.1:1", "routes": {"reject": "close"}}


def check(proxyd, arguments, text=None):
    """Returns the exit status and standard output of `proxyd check`."""
    done = subprocess.run([proxyd, "check"] + arguments, input=text, capture_output=True, check=False)
    if done.returncode not in (0, 2):
        raise SystemExit(f"proxyd check {arguments}: exit status {done.returncode}: {done.stderr}")
    return done.returncode, done.stdout


def main(proxyd, schema, *files):
    with open(schema, encoding="utf-8") as stream:
        schema = json.load(stream)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    faults = accepted = 0

    def expect(valid, what, value):
        errors = [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(value)]
        if valid == (not errors):
            return 0
        print(f"{what}: the schema", "refuses it: " + "; ".join(errors) if errors else "takes it",
              file=sys.stderr)
        return 1

    for path in files:
        status, printed = check(proxyd, ["--print", "-c", path])
        if status:
            if os.path.basename(path) in KNOWN:
                with open(path, encoding="utf-8") as stream:
                    faults += expect(False, path, yaml.safe_load(stream))
            continue
        accepted += 1
        with open(path, encoding="utf-8-sig") as stream:
            faults += expect(True, path, yaml.safe_load(stream))
        faults += expect(True, path + " as printed", yaml.safe_load(printed))
    for wrong in WRONG:
        text = json.dumps({**FINE, **wrong})
        faults += expect(False, text, json.loads(text))
        if not check(proxyd, ["-c", "/dev/stdin"], text.encode())[0]:
            print(f"{text}: the loader takes it", file=sys.stderr)
            faults += 1
    faults += expect(True, "the smallest file", FINE)
    print(f"{accepted} good files, {len(KNOWN) + len(WRONG)} bad ones")
    if accepted < 30:
        print("so few?", file=sys.stderr)
        faults += 1
    return faults != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

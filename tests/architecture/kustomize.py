"""What `kustomize build` makes of our folders, as far as they use it; anything else in them is an error here."""

import copy
import re

import yaml

from tests.architecture.source import ROOT

FOLDER = ROOT / "deploy/kubernetes"
BASE, EXAMPLE = FOLDER / "base", FOLDER / "overlays/example"

_KNOWN = {"resources", "components", "configMapGenerator", "patches", "images", "namespace", "apiVersion", "kind"}
#: Lists that a strategic merge patch merges, and by what; all others it replaces.
_MERGE_KEYS = {"containers": "name", "initContainers": "name", "volumes": "name", "volumeMounts": "mountPath"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kustomization(folder):
    (read,) = documents(folder / "kustomization.yaml")
    assert read.keys() <= _KNOWN, f"{folder}: {read.keys() - _KNOWN} is not understood here"
    return read


def files_of(folder):
    """Every file that the folder's kustomization names; folders that it names are left out."""
    read = kustomization(folder)
    named = [name for name in read.get("resources", ()) if name.endswith((".yaml", ".yml"))]
    named += [patch["path"] for patch in read.get("patches", ()) if "path" in patch]
    named += [name for generator in read.get("configMapGenerator", ()) for name in generator.get("envs", ())]
    return [folder / name for name in named]


def folders_of(folder):
    """Every folder that the folder's kustomization names."""
    read = kustomization(folder)
    named = [name for name in read.get("resources", ()) if not name.endswith((".yaml", ".yml"))]
    return [(folder / name).resolve() for name in [*named, *read.get("components", ())]]


def build(folder, before=()):
    """All resources, patched. Names keep no hash, and nothing is told of the namespace."""
    read, found = kustomization(folder), list(before)
    for name in read.get("resources", ()):
        path = folder / name
        found += build(path) if path.is_dir() else documents(path)
    for name in read.get("components", ()):
        found = build(folder / name, found)
    for generator in read.get("configMapGenerator", ()):
        _generate(folder, generator, found)
    for patch in read.get("patches", ()):
        selected = [one for one in found if _is_target(one, patch["target"])]
        assert selected, f"{folder}: a patch has no target: {patch['target']}"
        for one in selected:
            found[found.index(one)] = _patched(folder, patch, one)
    return found


def one(found, kind, name):
    (resource,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return resource


def _generate(folder, generator, found):
    lines = [line for name in generator.get("envs", ()) for line in (folder / name).read_text().splitlines()]
    pairs = [line for line in [*lines, *generator.get("literals", ())] if line and not line.startswith("#")]
    data = dict(pair.split("=", 1) for pair in pairs)
    if generator.get("behavior") == "merge":
        one(found, "ConfigMap", generator["name"])["data"] |= data
    else:
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data})


def _is_target(resource, target):
    told = {"kind": resource["kind"], "name": resource["metadata"]["name"]}
    return all(re.fullmatch(pattern, told[what]) for what, pattern in target.items())


def _patched(folder, patch, resource):
    if "path" in patch:
        (change,) = documents(folder / patch["path"])
        return _merged(resource, {name: part for name, part in change.items() if name == "spec"})
    changed = copy.deepcopy(resource)
    for operation in yaml.safe_load(patch["patch"]):
        *way, last = [int(part) if part.isdigit() else part for part in operation["path"].split("/")[1:]]
        place = changed
        for part in way:
            place = place[part]
        assert isinstance(last, int) or last in place, f"nothing at {operation['path']}"
        if operation["op"] == "remove":
            del place[last]
        else:
            assert operation["op"] == "replace"
            place[last] = operation["value"]
    return changed


def _merged(old, new):
    result = dict(old)
    for name, part in new.items():
        if isinstance(part, dict) and isinstance(old.get(name), dict):
            result[name] = _merged(old[name], part)
        elif name in _MERGE_KEYS:
            key = _MERGE_KEYS[name]
            entries = {entry[key]: entry for entry in old.get(name, ())}
            for entry in part:
                entries[entry[key]] = _merged(entries.get(entry[key], {}), entry)
            result[name] = list(entries.values())
        else:
            result[name] = part
    return result

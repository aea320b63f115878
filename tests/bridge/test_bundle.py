"""What is deployed, and what README.md says of it."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest

from tests.bridge.house import BRIDGE, ROOT, Bundle

README = BRIDGE / "README.md"
MOST_BYTES = 25_000
SECRETS = {"RUNPOD_API_KEY", "OSCINE_API_KEYS", "AUTH_TOKEN"}
SETTING = re.compile(r"\benv\.([A-Z][A-Z_]+)|(?:number|list|address)\((?:env, )?\"([A-Z_]+)\"")


def settings() -> set[str]:
    """The variables, secrets and bindings that the code reads."""
    code = "".join(path.read_text() for path in [BRIDGE / "worker.js", *(BRIDGE / "src").glob("*.js")])
    return {name for found in SETTING.findall(code) for name in found if name}


def test_it_can_be_deployed_and_is_small(bundle: Bundle):
    """The fixture is `wrangler deploy --dry-run`."""
    assert "--dry-run: exiting now" in bundle.said
    assert bundle.script.stat().st_size < MOST_BYTES


def test_what_is_deployed_depends_on_nothing(bundle: Bundle):
    assert not re.search(r"\b(import|require)\s*[({\"*]", bundle.script.read_text())
    assert "dependencies" not in json.loads((BRIDGE / "package.json").read_text())


def test_tools_are_locked_without_the_address_of_a_registry():
    lock = json.loads((BRIDGE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
    asked = json.loads((BRIDGE / "package.json").read_text())["devDependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in asked} == asked
    assert all(re.fullmatch(r"[\d.]+", version) for version in asked.values())


def test_secrets_are_only_secrets():
    told = tomllib.loads((BRIDGE / "wrangler.toml.example").read_text())
    assert not SECRETS & told["vars"].keys()
    kept = subprocess.run(
        ["git", "check-ignore", "bridge/wrangler.toml", "bridge/.dev.vars"], cwd=ROOT, capture_output=True
    )
    assert len(kept.stdout.splitlines()) == 2


@pytest.mark.parametrize("name", sorted(settings()))
def test_every_setting_is_explained(name: str):
    assert f"`{name}`" in README.read_text()


def test_no_setting_is_explained_that_is_none():
    rows = re.findall(r"^\| `([A-Z][A-Z_]+)`", README.read_text(), re.MULTILINE)
    assert rows
    assert set(rows) <= settings()
    example = (BRIDGE / "wrangler.toml.example").read_text()
    assert set(re.findall(r"^#? ?([A-Z][A-Z_]+) = ", example, re.MULTILINE)) <= settings()


def test_every_code_of_an_error_is_explained():
    code = "".join(path.read_text() for path in (BRIDGE / "src").glob("*.js"))
    told = re.sub(r"\binvalid\(.*", "", code)  # whose last word is a field
    codes = set(re.findall(r"\.[\"`],\s*\"([a-z_]+)\"", told)) | set(re.findall(r"\"([a-z]+_not_found)\"", told))
    assert len(codes) > 15
    text = README.read_text()
    assert {found for found in codes if f"`{found}`" not in text} == set()

"""From a file to a stack: find out what it is, and say of everything else what it is and how to get the right one.

People give what lies before them: the binary plan, the log of ``terraform plan -json``, the configuration itself,
a file that a Windows shell wrote as UTF-16. Each is recognised. Nothing is run and nothing is asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from seawall.audit.terraform.model import Stack
from seawall.audit.terraform.reading.errors import TerraformInvalid
from seawall.audit.terraform.reading.json_values import as_map
from seawall.audit.terraform.reading.plan_json import read_plan, read_state
from seawall.audit.terraform.reading.tfstate import read_tfstate

LARGEST_BYTES = 128 << 20
_NEWEST_FORMAT = 1
_TFSTATE_VERSION = 4
_MAKE = (
    "terraform plan -out tfplan; terraform show -json tfplan > plan.json; seawall audit --terraform plan.json"
)
STANDARD_INPUT = Path("-")


def read_terraform(path: Path) -> Stack:
    """Return the stack that a file describes; ``-`` is standard input. Raises TerraformInvalid."""
    source = "standard input" if path == STANDARD_INPUT else str(path)
    return parse_terraform(_read(path, source), source)


def parse_terraform(content: bytes, source: str) -> Stack:
    """Return the stack that a file's content describes. Raises TerraformInvalid."""
    _refuse_what_is_not_json(content, source)
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise TerraformInvalid(f"{source} is nested too deeply to be Terraform's", hint=_MAKE) from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise _no_json(content, source, error) from error
    if not isinstance(document, dict):
        raise TerraformInvalid(f"{source} is JSON, but no plan or state of Terraform's", hint=_MAKE)
    return _recognise(document, source)


def _read(path: Path, source: str) -> bytes:
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(LARGEST_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise TerraformInvalid(
            f"{source} can't be read: {error.strerror}", hint=f"name another file, or make one: {_MAKE}"
        ) from error
    if len(content) > LARGEST_BYTES:
        raise TerraformInvalid(
            f"{source} has more than {LARGEST_BYTES >> 20} MiB, which is more than Seawall reads into memory",
            hint="plan the databases alone: terraform plan -target ADDRESS -out tfplan; terraform show -json tfplan",
        )
    return content


def _refuse_what_is_not_json(content: bytes, source: str) -> None:
    """Name the files that are often given instead. Raises TerraformInvalid."""
    name = source if source != "standard input" else "FILE"
    if not content.strip():
        raise TerraformInvalid(f"{source} is empty", hint=_MAKE)
    if content.startswith(b"PK\x03\x04"):
        raise TerraformInvalid(
            f"{source} is a plan in Terraform's binary form, which only Terraform reads",
            hint=f"terraform show -json {name} > plan.json; seawall audit --terraform plan.json",
        )
    first, _, rest = content.lstrip().partition(b"\n")
    if b'"@level"' in first and (b'"@message"' in first or rest):
        raise TerraformInvalid(
            f"{source} is the log of terraform plan -json, which says what happened and not what is planned",
            hint=_MAKE,
        )


def _no_json(content: bytes, source: str, error: ValueError) -> TerraformInvalid:
    text = content[:4096].decode("utf-8", "replace")
    if any(word in text for word in ('resource "', 'provider "', 'module "', "terraform {")) or (
        source.endswith((".tf", ".hcl", ".tofu"))
    ):
        return TerraformInvalid(
            f"{source} is Terraform's configuration; what is audited is what comes of it", hint=_MAKE
        )
    if "Terraform will perform" in text or "Terraform used the selected providers" in text:
        return TerraformInvalid(f"{source} is a plan as people read it, not as JSON", hint=_MAKE)
    where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
    return TerraformInvalid(f"{source} is not JSON{where}, or is cut off", hint=_MAKE)


def _recognise(document: Mapping[str, object], source: str) -> Stack:
    if "encrypted_data" in document or "encrypted_state" in document:
        raise TerraformInvalid(
            f"{source} is encrypted by OpenTofu",
            hint="tofu show -json > state.json, where its key is configured",
        )
    if "planned_values" in document or "resource_changes" in document:
        _check_format(document, source)
        return read_plan(document, source)
    if isinstance(document.get("version"), int) and ("lineage" in document or "serial" in document):
        return _read_raw_state(document, source)
    if "format_version" in document and ("values" in document or set(document) <= _EMPTY_STATE):
        _check_format(document, source)
        return read_state(document, source)
    if "provider_schemas" in document:
        raise TerraformInvalid(f"{source} holds the providers' schemas, not a plan or state", hint=_MAKE)
    raise TerraformInvalid(
        f"{source} is JSON, but no plan or state of Terraform's: it has neither planned_values nor values",
        hint=_MAKE,
    )


_EMPTY_STATE = {"format_version", "terraform_version", "checks"}


def _read_raw_state(document: Mapping[str, object], source: str) -> Stack:
    version = document.get("version")
    if version != _TFSTATE_VERSION:
        age = "older" if isinstance(version, int) and version < _TFSTATE_VERSION else "newer"
        raise TerraformInvalid(
            f"{source} is a state of version {version}, {age} than the version {_TFSTATE_VERSION} that Seawall reads",
            hint="let your Terraform show it: terraform show -json > state.json",
        )
    return read_tfstate(document, source)


def _check_format(document: Mapping[str, object], source: str) -> None:
    """Raises TerraformInvalid for a major version that is not known: its fields may mean something else."""
    version = document.get("format_version")
    major = version.partition(".")[0] if isinstance(version, str) else ""
    if not major.isascii() or not major.isdigit():
        raise TerraformInvalid(
            f"{source} has no format_version, as every output of terraform show has", hint=_MAKE
        )
    if int(major[:9]) > _NEWEST_FORMAT:
        raise TerraformInvalid(
            f"{source} has format_version {version}; Seawall knows those up to {_NEWEST_FORMAT}.x",
            hint="a newer Seawall, or an older Terraform for the show: terraform show -json",
        )
    errored = document.get("errored")
    if errored is True and not as_map(document.get("planned_values")):
        raise TerraformInvalid(
            f"{source} is of a plan that failed", hint=f"correct what it said, then: {_MAKE}"
        )

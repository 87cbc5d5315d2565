"""What a plan or a state of Terraform's says, as plain values: resources, their configuration, what will change.

A value that the file hides is no value: what is marked sensitive and what is known only after apply are members
of :class:`Unseen`, and reading one through :meth:`Resource.read` raises FactUnknown with what would make it known.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seawall.audit.terraform.addresses import module_steps, without_indexes
from seawall.model.fact import FactUnknown, Unknown


class Unseen(enum.Enum):
    """Why a value is not in the file."""

    SENSITIVE = "marked sensitive"
    AFTER_APPLY = "known only after apply"


class FileKind(enum.Enum):
    """What was given."""

    PLAN = "plan"
    STATE = "state"


_LARGEST = 1e15
"""Beyond this no number of a configuration is one: not-a-number, infinity, an integer of hundreds of digits."""

APPLY_FIRST = "terraform apply, then: terraform show -json > state.json; seawall audit --terraform state.json"


@dataclass(frozen=True, slots=True)
class Expression:
    """How an argument is configured: a constant, or the names it refers to; ``blocks`` where it is nested."""

    constant: object = None
    has_constant: bool = False
    references: tuple[str, ...] = ()
    blocks: tuple[Mapping[str, Expression], ...] = ()


@dataclass(slots=True)
class Module:
    """A module's configuration. ``calls`` are the modules it calls, with the arguments it hands over."""

    path: str
    resources: dict[str, ConfiguredResource] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    variables: dict[str, object] = field(default_factory=dict)
    """Defaults; of what is sensitive or has none, a member of Unseen."""
    outputs: dict[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """``module "name" { … }``."""

    module: Module
    arguments: Mapping[str, Expression]
    source: str = ""


@dataclass(frozen=True, slots=True)
class ConfiguredResource:
    """A ``resource`` or ``data`` block."""

    arguments: Mapping[str, Expression]
    provider_key: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A ``provider`` block. ``module`` is the address of the module that it stands in."""

    key: str
    name: str
    alias: str
    module: str
    arguments: Mapping[str, Expression]

    @property
    def hcl(self) -> str:
        """How a resource refers to it."""
        return f"{self.name}.{self.alias}" if self.alias else self.name


@dataclass(frozen=True, slots=True)
class Change:
    """What applying the plan does to a resource. ``before`` and ``after`` hold Unseen where the plan hides values."""

    actions: tuple[str, ...]
    before: Mapping[str, object]
    after: Mapping[str, object]
    reason: str = ""
    replaced_for: tuple[str, ...] = ()

    @property
    def destroys(self) -> bool:
        return "delete" in self.actions

    @property
    def replaces(self) -> bool:
        return self.destroys and "create" in self.actions


@dataclass(frozen=True, eq=False)  # one object is one resource
class Resource:
    """One instance of a resource or data source. ``arguments`` is None where the file has no configuration of it."""

    address: str
    module: str
    is_data: bool
    type: str
    name: str
    values: Mapping[str, object]
    arguments: Mapping[str, Expression] | None = None
    provider_key: str = ""
    """Key of its provider in the configuration, or the provider as a state names it; "" where nothing tells."""
    change: Change | None = None

    @property
    def hcl(self) -> str:
        """How an expression in its own module names it."""
        return self.address[len(self.module) + 1 :] if self.module else self.address

    def is_configured(self, name: str) -> bool | None:
        """Say whether the block sets an argument; None where the configuration is not in the file."""
        return None if self.arguments is None else name in self.arguments

    def read(self, name: str, default: object = None) -> object:
        """Return an attribute's value, ``default`` where it is null or the block leaves it to the provider.

        Raises FactUnknown where the file hides it.
        """
        value = self.values.get(name)
        if value is Unseen.AFTER_APPLY and self.is_configured(name) is False:
            return default
        if isinstance(value, Unseen):
            raise FactUnknown(self.unseen(name, value))
        return default if value is None else value

    def unseen(self, name: str, why: Unseen) -> Unknown:
        """Return the unknown fact of an attribute that the file hides."""
        needs = APPLY_FIRST if why is Unseen.AFTER_APPLY else "compare it yourself: Seawall leaves it unread"
        return Unknown(f"{self.address}: {name} is {why.value}", needs)

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute that is text. Raises FactUnknown, where it is none too."""
        value = self.read(name, default)
        if isinstance(value, str):
            return value
        raise FactUnknown(Unknown(f"{self.address}: {name} is no text in this file", "look at the file"))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return an attribute that is true or false. Raises FactUnknown, where it is neither too."""
        value = self.read(name, default)
        if isinstance(value, bool):
            return value
        raise FactUnknown(Unknown(f"{self.address}: {name} is neither true nor false", "look at the file"))

    def number(self, name: str, default: float = 0) -> float:
        """Return an attribute that is a number. Raises FactUnknown, where it is none too."""
        value = self.read(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST:
            return value
        raise FactUnknown(Unknown(f"{self.address}: {name} is no number in this file", "look at the file"))

    def blocks(self, name: str) -> tuple[Mapping[str, object], ...]:
        """Return nested blocks' values. Raises FactUnknown."""
        value = self.read(name, ())
        listed = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        return tuple(item for item in listed if isinstance(item, Mapping))


@dataclass(frozen=True)  # not slotted: computed views are kept beside it
class Stack:
    """Everything of one file."""

    source: str
    kind: FileKind
    terraform_version: str
    resources: tuple[Resource, ...]
    gone: tuple[Resource, ...] = ()
    """What the plan destroys and does not create again."""
    providers: Mapping[str, Provider] = field(default_factory=dict)
    root: Module | None = None
    """The configuration; None where the file has none, as a state's."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """The root's variables; of what is sensitive, a member of Unseen."""

    def of_type(self, *types: str, data: bool = False) -> Iterator[Resource]:
        """Yield managed resources of these types, and data sources too if ``data``."""
        for resource in self.resources:
            if resource.type in types and (data or not resource.is_data):
                yield resource

    def module_at(self, address: str) -> Module | None:
        """Return the configuration of the module at an address, whatever its indexes."""
        module = self.root
        for step in module_steps(without_indexes(address)):
            call = module.calls.get(step.partition(".")[2]) if module else None
            module = call.module if call else None
        return module

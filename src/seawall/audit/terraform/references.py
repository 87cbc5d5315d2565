"""From an argument to what it refers to: through variables, module calls and outputs, to resources of the stack.

The configuration names what an expression uses, not what it computes. A reference to one resource is taken for
that resource; what passes through a ``local`` is not in the file, and is reported as hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from seawall.audit.terraform.addresses import (
    HIDDEN_HEADS,
    Name,
    longest_references,
    parent_of,
    parse_reference,
    without_indexes,
)
from seawall.audit.terraform.model import Expression, Resource, Stack, Unseen

_DEEPEST = 40
_IDENTITIES = ("arn", "id", "identifier", "cluster_identifier", "global_cluster_identifier", "name", "resource_id",
               "key_id", "bucket", "db_instance_identifier", "key_arn", "target_key_arn")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """A resource that an argument refers to, and by which attribute. ``written`` is the expression's own word."""

    resource: Resource
    attribute: str
    written: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where an argument leads. ``hidden`` are the names in it whose value the file doesn't hold; ``literals`` are
    values that end in no resource of the file."""

    targets: tuple[Target, ...] = ()
    hidden: tuple[str, ...] = ()
    literals: tuple[object, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(target.resource for target in self.targets)


@dataclass(slots=True)
class _Found:
    targets: list[Target] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    literals: list[object] = field(default_factory=list)


class References:
    """Resolves the references of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._resolved: dict[tuple[Resource, str], Resolution] = {}
        self._by_place: dict[str, list[Resource]] = {}
        self._by_identity: dict[str, list[tuple[Resource, str]]] = {}
        for resource in stack.resources:
            self._by_place.setdefault(without_indexes(resource.address), []).append(resource)
            for name in _IDENTITIES:
                value = resource.values.get(name)
                if isinstance(value, str) and value:
                    self._by_identity.setdefault(value, []).append((resource, name))

    def resolve(self, resource: Resource, argument: str) -> Resolution:
        """Return where an argument of a resource leads: by its expression, else by its value."""
        place = (resource, argument)
        if place not in self._resolved:
            self._resolved[place] = self._resolve(resource, argument)
        return self._resolved[place]

    def _resolve(self, resource: Resource, argument: str) -> Resolution:
        expression = (resource.arguments or {}).get(argument)
        value = resource.values.get(argument)
        found = _Found()
        if expression is not None:
            self._follow(expression, resource.module, found, 0)
        if not found.targets and isinstance(value, str | list):
            found.literals.clear()
            self._literal(value, found)
        return _done(found, longest_references(expression.references) if expression is not None else ())

    def resolve_block(self, resource: Resource, block: str, argument: str) -> Resolution:
        """Return where an argument of all nested blocks of a name leads."""
        found = _Found()
        written: list[str] = []
        expression = (resource.arguments or {}).get(block)
        for inner in expression.blocks if expression else ():
            nested = inner.get(argument)
            if nested is not None:
                self._follow(nested, resource.module, found, 0)
                written += longest_references(nested.references)
        if not found.targets:
            value = resource.values.get(block)
            for item in value if isinstance(value, list) else ():
                if isinstance(item, dict):
                    direct = self.of_value(item.get(argument))
                    found.targets += direct.targets
                    found.literals += direct.literals
        return _done(found, tuple(written))

    def follow(self, expression: Expression, module: str) -> Resolution:
        """Return where an expression that stands in a module leads."""
        found = _Found()
        self._follow(expression, module, found, 0)
        return _done(found, longest_references(expression.references))

    def of_value(self, value: object) -> Resolution:
        """Return the resources that a literal value names: an ARN, a name, a list of them."""
        found = _Found()
        self._literal(value, found)
        return _done(found, ())

    def evaluate(self, expression: Expression, module: str, depth: int = 0) -> object:
        """Return the value of an expression that is one constant or one variable, else Unseen.AFTER_APPLY."""
        if expression.has_constant:
            return expression.constant
        names = longest_references(expression.references)
        name = parse_reference(names[0]) if len(names) == 1 else None
        if name is None or name.head != "var" or depth > _DEEPEST:
            return Unseen.AFTER_APPLY
        value = self._variable(name, module, depth)
        for step in name.steps:
            value = _element(value, step)
        return value

    def _variable(self, name: Name, module: str, depth: int) -> object:
        if not module:
            return self._stack.variables.get(name.name, Unseen.AFTER_APPLY)
        outer, call_name = parent_of(module)
        caller = self._stack.module_at(outer)
        call = caller.calls.get(call_name) if caller else None
        if call is None:
            return Unseen.AFTER_APPLY
        argument = call.arguments.get(name.name)
        if argument is None:
            return call.module.variables.get(name.name, Unseen.AFTER_APPLY)
        return self.evaluate(argument, outer, depth + 1)

    def _follow(self, expression: Expression, module: str, found: _Found, depth: int) -> None:
        if expression.has_constant:
            self._literal(expression.constant, found)
        for inner in expression.blocks:
            for nested in inner.values():
                self._follow(nested, module, found, depth + 1)
        for text in longest_references(expression.references):
            name = parse_reference(text)
            if name is None or depth > _DEEPEST:
                found.hidden.append(text)
            else:
                self._follow_name(name, module, found, depth)

    def _follow_name(self, name: Name, module: str, found: _Found, depth: int) -> None:
        if name.head in HIDDEN_HEADS:
            found.hidden.append(name.written)
        elif name.head == "var":
            self._follow_variable(name, module, found, depth)
        elif name.head == "module":
            inner = f"{module}.module.{name.name}" if module else f"module.{name.name}"
            home = self._stack.module_at(inner)
            output = home.outputs.get(name.attribute) if home else None
            if output is None:
                found.hidden.append(name.written)
            else:
                self._follow(output, inner, found, depth + 1)
        else:
            found.targets += [
                Target(resource, name.attribute, name.written) for resource in self._instances(name, module)
            ]

    def _follow_variable(self, name: Name, module: str, found: _Found, depth: int) -> None:
        outer, call_name = parent_of(module)
        caller = self._stack.module_at(outer) if module else None
        call = caller.calls.get(call_name) if caller else None
        argument = call.arguments.get(name.name) if call else None
        if argument is not None:
            self._follow(argument, outer, found, depth + 1)
            return
        value = self._variable(name, module, depth)
        if isinstance(value, Unseen):
            found.hidden.append(name.written)
        else:
            self._literal(value, found)

    def _instances(self, name: Name, module: str) -> Iterator[Resource]:
        """Yield what a name means in a module: of its own instance, else of all of them."""
        place = f"{without_indexes(module)}.{name.key}" if module else name.key
        here = self._by_place.get(place, [])
        near = [resource for resource in here if resource.module == module] or here
        chosen = [item for item in near if name.index and item.address.endswith(name.index)] or near
        yield from chosen

    def _literal(self, value: object, found: _Found, depth: int = 0) -> None:
        if isinstance(value, list) and depth <= _DEEPEST:
            for item in value:
                self._literal(item, found, depth + 1)
        elif isinstance(value, str) and value:
            named = self._by_identity.get(value, [])
            found.targets += [Target(resource, attribute, value) for resource, attribute in named]
            if not named:
                found.literals.append(value)


def _element(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(str(step), Unseen.AFTER_APPLY)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return Unseen.AFTER_APPLY


def _done(found: _Found, written: tuple[str, ...]) -> Resolution:
    unique = {(target.resource.address, target.attribute): target for target in found.targets}
    return Resolution(tuple(unique.values()), tuple(found.hidden), tuple(found.literals), written)

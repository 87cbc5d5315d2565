"""The plan file: what a person declares about a service, read into typed values or into diagnostics.

One declarative definition (:mod:`~seawall.plan.definition`) feeds the validator, the JSON Schema, the reference in
``docs/plan.md`` and the suggestion of the nearest known name. The flow is text → nodes with places
(:mod:`~seawall.plan.yaml_nodes`) → checked values (:mod:`~seawall.plan.reader`) → cross-checks
(:mod:`~seawall.plan.crosscheck.rules`) → :class:`seawall.plan.model.Plan`.

It deliberately contacts nothing: no server, store, host or name service. Secrets stay references until
somebody calls :func:`seawall.plan.secrets.resolve`. Import from the modules themselves; nothing is
re-exported so that the WAL client, which reads only :mod:`~seawall.plan.compiled`, pays for nothing else.
"""

__all__: list[str] = []

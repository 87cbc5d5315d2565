"""Terraform's plans and states judged for disaster recovery on AWS: what would be left if the region were gone?

``reading`` turns a file (``terraform show -json`` of a plan or a state, or a raw ``terraform.tfstate``) into a
:class:`~seawall.audit.terraform.model.Stack`; ``references`` and ``regions`` say what belongs to what and lies where;
``rules`` judge it. Nothing is executed, no provider and no AWS interface is asked, and what the file marks as
sensitive never enters the model. What stays out: other clouds, and drift between file and reality.
"""

__all__: list[str] = []

"""What can be wrong with a file that is said to be Terraform's."""

from __future__ import annotations

from seawall.model.errors import InvalidInput


class TerraformInvalid(InvalidInput, code="terraform-invalid", status=104):
    """The file is no plan or state of Terraform's that can be read."""

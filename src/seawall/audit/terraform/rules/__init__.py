"""The rules over a Terraform stack, by what they are about. Each reads facts and does nothing else."""

__all__: list[str] = []

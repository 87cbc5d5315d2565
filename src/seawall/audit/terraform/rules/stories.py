"""What happened to others, told once for all rules that it belongs to."""

from __future__ import annotations

from seawall.audit.rule import Story

US_EAST_1 = Story(
    "AWS us-east-1, October 2025: an empty DNS record took DynamoDB and what builds on it down for most of a day. "
    "What had its copy in the same region waited.",
    "https://aws.amazon.com/message/101925/",
)
SOURCE_BY_NAME = Story(
    "hashicorp/terraform issue 24334: a replica in another region needs its source's ARN; by its identifier, as the "
    "documentation had it, the source is looked for in the replica's own region.",
    "https://github.com/hashicorp/terraform/issues/24334",
)
KEY_MISSING = Story(
    "hashicorp/terraform issue 11538: storage_encrypted alone, and RDS answers that it can't create an unencrypted "
    "cross-region replica of an encrypted source.",
    "https://github.com/hashicorp/terraform/issues/11538",
)
WRONG_VPC = Story(
    "hashicorp/terraform issue 4192: a cross-region replica came up in the default VPC, out of reach of the "
    "applications that were to use it.",
    "https://github.com/hashicorp/terraform/issues/4192",
)
ZONE = Story(
    "hashicorp/terraform-provider-aws issue 39225: multi_az together with availability_zone passes the plan, and "
    "RDS refuses it when it is applied.",
    "https://github.com/hashicorp/terraform-provider-aws/issues/39225",
)

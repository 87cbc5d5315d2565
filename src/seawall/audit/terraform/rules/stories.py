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
IDENTIFIER = Story(
    "hashicorp/terraform-provider-aws issue 518: identifiers of databases are unique in a region only, and tools "
    "that know a database by its identifier alone meet two.",
    "https://github.com/hashicorp/terraform-provider-aws/issues/518",
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
KEY_OF_OTHER_REGION = Story(
    "hashicorp/terraform issue 12985: a cluster in us-west-2 with a key of us-east-1, and no replica for as long as "
    "nobody saw it.",
    "https://github.com/hashicorp/terraform/issues/12985",
)
ZONE = Story(
    "hashicorp/terraform-provider-aws issue 39225: multi_az together with availability_zone passes the plan, and RDS "
    "refuses it when it is applied.",
    "https://github.com/hashicorp/terraform-provider-aws/issues/39225",
)
ZONE_OF_REGION = Story(
    "Amazon RDS API Reference, CreateDBInstanceReadReplica: the replica is created in the region of the endpoint that "
    "is called, and its zone is one of that region.",
    "https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html",
)
ONE_ZONE = Story(
    "Amazon RDS User Guide: whether a replica is Multi-AZ has nothing to do with its source, so the replica of a "
    "Multi-AZ instance is in one zone unless its own block says otherwise.",
    "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.html",
)
PUBLIC = Story(
    "AWS Security Hub, control RDS.2, critical: DB instances should prohibit public access.",
    "https://docs.aws.amazon.com/securityhub/latest/userguide/rds-controls.html",
)
AUTHORITY = Story(
    "Amazon RDS, August 2024: the authority rds-ca-2019 expired, and clients that verified certificates and did not "
    "know the new one were refused.",
    "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL-certificate-rotation.html",
)
REPLICATED_BACKUPS = Story(
    "Amazon RDS User Guide, replicating automated backups to another region: encrypted ones need a key of the "
    "destination, and Multi-AZ DB clusters can't.",
    "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReplicateBackups.html",
)
MULTI_REGION_KEY = Story(
    "AWS KMS Developer Guide: an existing single-region key can't be made a multi-region one; it has to be thought of "
    "when it is created.",
    "https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html",
)
FINAL_SNAPSHOT = Story(
    "hashicorp/terraform-provider-aws issue 4276: a replica with a final snapshot can't be destroyed, and stands in "
    "the way of every later apply.",
    "https://github.com/hashicorp/terraform-provider-aws/issues/4276",
)
PARAMETERS = Story(
    "hashicorp/terraform issue 6091: the plan listed the custom parameter group of a replica in another region; what "
    "was created had the default one.",
    "https://github.com/hashicorp/terraform/issues/6091",
)
SMALLER = Story(
    "Amazon RDS User Guide: a replica that is smaller than its source falls behind under its writes, and after the "
    "promotion it is all that there is.",
    "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.html",
)
HOT_STANDBY = Story(
    "Aptible's guide to PostgreSQL replicas: max_connections was raised on the primary first, and the replica refused "
    'to run: "hot standby is not possible because max_connections is a lower setting".',
    "https://www.aptible.com/docs/how-to-guides/troubleshooting/common-errors-issues/postgresql-replica",
)
PROMOTION = Story(
    "hashicorp/terraform-provider-aws issue 4419: promoted through Terraform, the new primary had no backups, and a "
    "second apply had to wait until it was available again.",
    "https://github.com/hashicorp/terraform-provider-aws/issues/4419",
)
SILENT_PROMOTION = Story(
    "hashicorp/terraform pull request 1946, which brought replicas to Terraform: taking replicate_source_db away "
    "promotes, and the plan can't say so.",
    "https://github.com/hashicorp/terraform/pull/1946",
)
DESTROYED = Story(
    "DataTalks.Club, February 2026: one approved terraform command destroyed the production database with its "
    "automated backups. Support found a copy; it took 24 hours.",
    "https://aishippinglabs.com/blog/how-i-dropped-our-production-database-and-now-pay-10-more-for-aws",
)
RENAMED = Story(
    "hashicorp/terraform issue 11636: a new identifier in the file, and Terraform destroyed the database to create "
    "an empty one of that name.",
    "https://github.com/hashicorp/terraform/issues/11636",
)
BACKUPS_DELETED = Story(
    "hashicorp/terraform-provider-aws pull request 34120: automated backups are deleted together with their database "
    "by default, which its author calls quite a large foot-gun.",
    "https://github.com/hashicorp/terraform-provider-aws/pull/34120",
)
IN_STATE = Story(
    "hashicorp/terraform issue 516, open from 2014 for years: whatever password a resource is given lies in the "
    "state, readable by everybody who may read the state.",
    "https://github.com/hashicorp/terraform/issues/516",
)
ONE_COPY = Story(
    "OVHcloud Strasbourg, March 2021: customers whose backups lay in the burning data centre lost data and backups.",
    "https://en.wikipedia.org/wiki/OVHcloud#2021_fire",
)
MONITORING = Story(
    "AWS, December 2021: the monitoring was behind the failure that it should have shown.",
    "https://aws.amazon.com/message/12721/",
)
SLOT = Story(
    "AWS Database Blog: a cross-region replica of RDS for PostgreSQL holds a slot on its source; one that falls "
    "behind or stops fills the source's storage with WAL.",
    "https://aws.amazon.com/blogs/database/best-practices-for-amazon-rds-for-postgresql-cross-region-read-replicas/",
)
HEADLESS = Story(
    "AWS on headless clusters of Aurora global databases: cheaper, as no instance runs there; creating one is part "
    "of the recovery then, in a region where everybody else does the same.",
    "https://aws.amazon.com/blogs/database/achieve-cost-effective-multi-region-resiliency-with-amazon-aurora-global-"
    "database-headless-clusters/",
)
SECRETS = Story(
    "AWS Secrets Manager User Guide: a secret is in one region until it is replicated, and its replica holds the "
    "source's connection information, the new endpoint has to be added.",
    "https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html",
)
HEALTH_CHECK = Story(
    "Amazon Route 53 Developer Guide: a failover record without a health check counts as healthy, whatever happens "
    "to its target.",
    "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-configuring.html",
)
CACHES = Story(
    "The JVM may cache an address for ever; the AWS SDK for Java says so in its documentation, and every DNS "
    "failover met clients that did.",
    "https://docs.aws.amazon.com/sdk-for-java/latest/developer-guide/jvm-ttl-dns.html",
)

"""The plan's keys, defined once: the validator, the JSON Schema, the reference and suggestions read this.

``awaits`` names machinery that Seawall does not have yet. Remove it in the change that brings the machinery;
nothing else decides whether a key is shown as DECLARED, NOT ACTIVE.
"""

from __future__ import annotations

import os
from pathlib import Path

from seawall.plan import model
from seawall.plan.definition.audit_kinds import AUDIT_RULE, DATE
from seawall.plan.definition.kinds import (
    ADDRESS,
    CRON,
    DOMAIN,
    DSN,
    DURATION,
    FLAG,
    HTTP_URL,
    NAME,
    PATH,
    RATE,
    REPOSITORY_KEY,
    SECRET,
    SSH,
    STORE_URL,
    TEXT,
    TIMEZONE,
    VERSION,
    choice,
    integer,
    reference,
)
from seawall.plan.definition.sections import WHEN_EMPTY, Field, ListOf, MapOf, Section

_COMPRESSION = integer(1, 19, "1")
_TIMERS = "the agent's timers"


def default_state_directory() -> Path:
    """Return where this host's state lives unless the plan says otherwise: the system's, or the user's own.

    Whoever can use the system's folder does, so that root's backup and the server's user's ``wal push`` are
    one writer.
    """
    system = "/var/lib/seawall"
    if os.geteuid() == 0 or os.access(system, os.R_OK | os.X_OK):
        return Path(system)
    home = os.environ.get("XDG_STATE_HOME", "")
    return Path(home if home.startswith("/") else os.path.expanduser("~/.local/state")) / "seawall"


OBJECTIVES = Section(
    "what the service promises",
    model.Objectives,
    (
        Field(
            "rto", DURATION, "Recovery time: from the first failed to the first accepted client write.",
            required=True, attribute="rto_s", remedy="write how long the service may be down: rto: 15m",
        ),
        Field(
            "rpo", DURATION, "Recovery point: how much acknowledged work may be lost, as time.",
            required=True, attribute="rpo_s", remedy="write how much work may be lost: rpo: 5m",
        ),
        Field(
            "detection", DURATION, "How long it takes until somebody knows; counts against the RTO.",
            default=0.0, default_text="0: a disaster is noticed at once", attribute="detection_s",
        ),
    ),
)  # fmt: skip

HOST = Section(
    "a machine",
    model.Host,
    (
        Field(
            "ssh",
            SSH,
            "How to reach it, in the terms of your ssh client.",
            default_text="this machine",
            awaits="reaching hosts over ssh",
        ),
    ),
)

SITE = Section(
    "a failure domain",
    model.Site,
    (
        Field(
            "hosts", MapOf("host", HOST), "The machines that are lost together with this site.",
            default_text="no machines: a site that only stores",
        ),
        Field("recover_on", reference("hosts", "db2"), "The host of this site that takes over.",
              default_text="nothing can be recovered here", awaits="`seawall recover`"),
        Field("drill_on", reference("hosts", "db2"), "The host of this site that rehearsals use.",
              default_text="no rehearsals here", awaits="drills"),
    ),
)  # fmt: skip

CREDENTIALS = Section(
    "an object store's account",
    model.Credentials,
    (
        Field("key_id", SECRET, "The access key's id.", required=True,
              remedy="refer to the access key's id: key_id: file:/etc/seawall/s3.id"),
        Field("secret", SECRET, "The access key's secret.", required=True,
              remedy="refer to the access key's secret: secret: file:/etc/seawall/s3.secret"),
        Field("token", SECRET, "A session token, for temporary keys.", default_text="none"),
    ),
)  # fmt: skip

RETENTION = Section(
    "what to keep at least",
    model.Retention,
    (
        Field("full", integer(1, 10000, "2"), "Keep this many full backups and what depends on them.",
              default_text="no minimum number"),
        Field("window", DURATION, "Keep every moment of this long a time restorable.",
              attribute="window_s", default_text="no minimum time"),
    ),
)  # fmt: skip

REPOSITORY = Section(
    "a repository",
    model.RepositoryPlan,
    (
        Field("site", reference("sites", "eu-central"), "The failure domain that it is lost with.",
              required=True, remedy="name the site where it is: site: eu-central"),
        Field("host", reference("hosts", "db1"), "The machine that it is on; only for file:// repositories.",
              default_text="none: an object store"),
        Field("url", STORE_URL, "Where it is: `file:///abs/folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.",
              required=True, remedy="write where it is: url: s3://shop-dr"),
        Field("region", TEXT, "The object store's region.", default_text="as the store's client finds it"),
        Field("endpoint", HTTP_URL, "An S3-compatible server's address.", default_text="the provider's own"),
        Field("credentials", CREDENTIALS, "The object store's account, by reference.",
              default_text="as the store's client finds them in the environment of the PostgreSQL server"),
        Field("coordination", STORE_URL,
              "A store for leases, terms and commits beside one that can't create conditionally.",
              default_text="the repository itself"),
        Field("keys", ListOf(REPOSITORY_KEY, least=1),
              "What opens it: `file:/abs/key.file`, `env:NAME`, `command:…`, `passphrase:` before one of "
              "these, or `escrow` for a slot whose secret is kept elsewhere. Any one suffices to read.",
              default_text="required unless `encryption: none`"),
        Field("encryption", choice({"aes-256-gcm": True, "none": False}),
              "`none` stores everything readable by anybody who can read the store.",
              attribute="is_encrypted", default=True, default_text="`aes-256-gcm`"),
        Field("retention", RETENTION, "What to keep at least.", default_text="everything",
              awaits="`seawall expire`"),
        Field("lock", DURATION,
              "How long the store itself refuses to delete what was written; `check` holds it against the "
              "bucket's own default retention.",
              attribute="lock_s", default_text="no lock", awaits="locks that Seawall sets itself"),
        Field("ack", choice({ack.value: ack for ack in model.Ack}),
              "What this copy means to `wal push`: `required`, `any` (one of these is), `none` (later).",
              default_text="the first repository off the host is required, in another site if possible"),
        Field("throttle", RATE, "At most this much is sent to it.", attribute="throttle_bytes_per_s",
              default_text="no limit", awaits="limits for single repositories"),
    ),
)  # fmt: skip

SERVER = Section(
    "a PostgreSQL server",
    model.ServerPlan,
    (
        Field("host", reference("hosts", "db1"), "The machine that it runs on.", required=True,
              remedy="name its machine: host: db1"),
        Field("dsn", DSN, "How Seawall connects when on that machine; never with a password in it.",
              required=True, remedy="write how to connect: dsn: postgresql:///postgres"),
        Field("data", PATH, "The data directory.", required=True,
              remedy="write what the server answers to SHOW data_directory"),
        Field("config", ListOf(PATH), "Configuration folders outside the data directory, backed up with it.",
              default_text="none: everything is in the data directory"),
        Field("pg_bin", PATH, "The folder of the server's programs.", default_text="searched for"),
    ),
)  # fmt: skip

SCHEDULE = Section(
    "when backups are taken",
    model.Schedule,
    (
        Field("full", CRON, "Full backups.", default_text="by hand", awaits=_TIMERS),
        Field("diff", CRON, "Differential backups: what changed since the last full.", default_text="none",
              awaits="differential backups"),
        Field("incr", CRON, "Incremental backups: what changed since the last backup.", default_text="none",
              awaits="incremental backups"),
        Field("dump", CRON, "Logical dumps.", default_text="none", awaits="logical dumps"),
    ),
)  # fmt: skip

WAL = Section(
    "how WAL leaves the host",
    model.WalPlan,
    (
        Field("stream", DURATION, "How often the segment in progress is uploaded.", attribute="stream_s",
              default_text="whole segments only", awaits="WAL streaming"),
        Field("archive_timeout", DURATION,
              "The server's `archive_timeout`: how old an unfinished segment may get. `check` compares them.",
              attribute="archive_timeout_s", default_text="unknown: then no RPO can be promised"),
        Field("compression", _COMPRESSION, "zstd level of archived segments.", default=1, default_text="1"),
    ),
)  # fmt: skip

BACKUP = Section(
    "how backups are taken",
    model.BackupPlan,
    (
        Field("jobs", integer(1, 256, "2"), "How many threads read, compress and encrypt.",
              default_text="one for each core"),
        Field("compression", _COMPRESSION, "zstd level.", default=1, default_text="1"),
        Field("throttle", RATE, "At most this much is read from the data directory.",
              attribute="throttle_bytes_per_s", default_text="no limit"),
        Field("checksums", FLAG, "Verify page checksums while reading, where the server has them.",
              default=True, default_text="true"),
    ),
)  # fmt: skip

CLUSTER = Section(
    "a PostgreSQL server with all its databases",
    model.ClusterPlan,
    (
        Field("primary", SERVER, "The server that accepts writes.", required=True,
              remedy="describe the server: primary: {host: …, dsn: …, data: …}"),
        Field("standbys", MapOf("standby", SERVER), "Servers that follow it.", default_text="none",
              awaits="standbys"),
        Field("repositories", ListOf(reference("repositories", "far"), least=1),
              "Which repositories receive it.", default_text="all of them"),
        Field("schedule", SCHEDULE, "When backups are taken.", default=WHEN_EMPTY, default_text="by hand"),
        Field("wal", WAL, "How WAL leaves the host.", default=WHEN_EMPTY, default_text="whole segments"),
        Field("backup", BACKUP, "How backups are taken.", default=WHEN_EMPTY, default_text="at full speed"),
    ),
)  # fmt: skip

DNS = Section(
    "the name that clients resolve",
    model.DnsTraffic,
    (
        Field("name", DOMAIN, "The record.", required=True, remedy="write the record: name: db.shop.example"),
        Field("ttl", DURATION, "How long clients may keep an old answer.", required=True, attribute="ttl_s",
              remedy="write the record's time to live: ttl: 30s"),
        Field("servers", ListOf(ADDRESS, least=1), "The authoritative servers, by address.", required=True,
              remedy="list the authoritative servers' addresses: servers: [192.0.2.53]"),
        Field("tsig", SECRET, "The key that signs updates.", default_text="unsigned updates"),
    ),
)  # fmt: skip

TRAFFIC = Section(
    "how clients are moved",
    model.Traffic,
    (Field("dns", DNS, "By a DNS record.", default_text="not by DNS", awaits="moving traffic"),),
)

CHECK = Section(
    "a question that proves a recovery",
    model.CheckPlan,
    (
        Field("name", TEXT, "What it proves, in words.", required=True,
              remedy="say in words what it proves: name: orders are fresh"),
        Field("cluster", reference("clusters", "main"), "The cluster that is asked.",
              default_text="the only one"),
        Field("database", TEXT, "The database that is asked.", default_text="required with `sql`"),
        Field("sql", TEXT, "One statement that returns true. `:recovered_to` is the moment that was reached.",
              default_text="`http` instead"),
        Field("http", HTTP_URL, "A page to ask for.", default_text="`sql` instead",
              awaits="checks over HTTP"),
        Field("expect", integer(100, 599, "200"), "The HTTP status that is right.", default=200,
              default_text="200"),
        Field("when", choice({when.value: when for when in model.CheckWhen}),
              "`recovery`: never asked in a drill; `drill`: only there.",
              default=model.CheckWhen.ALWAYS, default_text="`always`"),
    ),
)  # fmt: skip

DRILL = Section(
    "a rehearsal",
    model.DrillPlan,
    (
        Field("schedule", CRON, "When it is due; a timer that calls `seawall drill due --run` holds it.",
              default_text="by hand"),
        Field("remind", DURATION, "How long after the last one people are reminded to hold it.",
              attribute="remind_s", default_text="no reminder"),
    ),
)  # fmt: skip

DRILLS = Section(
    "the rehearsals",
    model.Drills,
    (
        Field("restore", DRILL, "A restore with all checks.", default_text="none"),
        Field("failover", DRILL, "A change of the primary, approved each time.", default_text="none",
              awaits="failover drills"),
    ),
)  # fmt: skip

PERSON = Section(
    "somebody who may approve",
    model.Person,
    (
        Field("ssh_key", SECRET, "The public key that signs approvals.", default_text="can't sign"),
        Field("contact", TEXT, "How to reach them: `tel:…`, `mailto:…`.", default_text="unknown"),
    ),
)  # fmt: skip

APPROVAL = Section(
    "consent to an action",
    model.Approval,
    (
        Field("from", ListOf(reference("people", "ada"), least=1), "Who may give it.", required=True,
              attribute="people", remedy="name the people: from: [ada]"),
        Field("required", integer(1, 100, "1"), "How many must.", default=1, default_text="1"),
        Field("timeout", DURATION, "How long they are waited for; counts against the RTO.", required=True,
              attribute="timeout_s", remedy="say how long to wait: timeout: 5m"),
    ),
)  # fmt: skip

APPROVALS = Section(
    "the actions that need consent",
    model.Approvals,
    tuple(
        Field(
            action, APPROVAL, help_text, default_text="the person at the keyboard decides", awaits="approvals"
        )
        for action, help_text in (
            ("failover", "Promoting without the old primary's cooperation."),
            ("switchover", "Changing places with it."),
            ("failback", "Going home."),
            ("recover", "Any way that `seawall recover` proposes."),
        )
    ),
)

WAIVER = Section(
    "a finding that is accepted",
    model.Waiver,
    (
        Field("rule", AUDIT_RULE, "The rule's id, as `seawall audit` shows it.", required=True,
              remedy="name the rule as the audit shows it: rule: server-checksums-off"),
        Field("subject", TEXT, "The one cluster, repository or resource that it is accepted for.",
              default_text="all of the rule's findings"),
        Field("reason", TEXT, "Why it is accepted; every report shows it.", required=True,
              remedy="say why, for whoever reads the report: reason: rebuilt nightly from the warehouse"),
        Field("until", DATE, "The last day on which it is accepted; then the finding is back.", required=True,
              remedy="give it an end: until: 2027-03-31"),
    ),
)  # fmt: skip

AUDIT = Section(
    "what `seawall audit` has to know",
    model.AuditPlan,
    (Field("waive", ListOf(WAIVER), "Findings that are accepted, each with a reason and an end.",
           default_text="none"),),
)  # fmt: skip

PLAN = Section(
    "the plan",
    model.PlanContent,
    (
        Field("version", VERSION, "The plan format's version.", required=True,
              remedy="begin the file with: version: 1"),
        Field("service", NAME, "What is protected; part of reports.", required=True,
              remedy="name what is protected: service: shop"),
        Field("timezone", TIMEZONE, "For schedules and for times without a zone.", default="UTC",
              default_text="UTC"),
        Field("state", PATH, "This host's own state: writer keys, caches. Never inside a data directory.",
              default_from=default_state_directory,
              default_text="`/var/lib/seawall` for root and whoever may use it, else `$XDG_STATE_HOME/seawall`"),
        Field("objectives", OBJECTIVES, "What the service promises.", required=True,
              remedy="decide with the service's owner: objectives: {rto: 15m, rpo: 5m}"),
        Field("sites", MapOf("site", SITE, least=1), "The failure domains: what is lost together.",
              required=True, remedy="name the places that can be lost: sites: {eu-west: {hosts: {db1: {}}}}"),
        Field("repositories", MapOf("repository", REPOSITORY, least=1), "Where backups and WAL go.",
              required=True, remedy="say where backups go: repositories: {far: {site: …, url: …}}"),
        Field("clusters", MapOf("cluster", CLUSTER, least=1), "The servers that are protected.",
              required=True, remedy="say what to protect: clusters: {main: {primary: {…}}}"),
        Field("traffic", TRAFFIC, "How clients are moved.", default=WHEN_EMPTY, default_text="by you"),
        Field("checks", ListOf(CHECK), "Questions that prove a recovery.",
              default_text="only that every database accepts connections"),
        Field("drills", DRILLS, "The rehearsals.", default=WHEN_EMPTY, default_text="none"),
        Field("people", MapOf("person", PERSON), "Who may approve.", default_text="nobody by name",
              awaits="approvals"),
        Field("approvals", APPROVALS, "The actions that need consent.", default=WHEN_EMPTY,
              default_text="the person at the keyboard decides"),
        Field("audit", AUDIT, "What `seawall audit` has to know.", default=WHEN_EMPTY,
              default_text="no finding is waived"),
    ),
)  # fmt: skip

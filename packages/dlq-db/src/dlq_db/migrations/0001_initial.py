import django.db.models.deletion
from django.db import migrations, models

from dlq_db.schema import TuneTables


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("worker", models.CharField(max_length=255)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                (
                    "counted",
                    models.SmallIntegerField(
                        help_text="0: it expired; 1: the task raised; 2: its worker was lost."
                    ),
                ),
                ("exception", models.TextField(help_text="Dotted path of its class.")),
                ("traceback", models.TextField()),
            ],
            options={
                "db_table": "dlq_attempt",
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("task", models.CharField(max_length=255)),
                ("priority", models.SmallIntegerField()),
                ("payload", models.TextField(help_text="Arguments as JSON text.")),
                ("overrides", models.TextField(help_text="Options of the call, as JSON text.", null=True)),
                ("run_after", models.DateTimeField(null=True)),
                ("max_attempts", models.SmallIntegerField()),
                ("max_interruptions", models.SmallIntegerField()),
                ("enqueued_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("metadata", models.TextField(help_text="A JSON object.", null=True)),
                (
                    "limits",
                    models.TextField(
                        help_text="What holds it back beside its time, as JSON text.", null=True
                    ),
                ),
                (
                    "unique",
                    models.TextField(
                        help_text="What no other may have at the same time, as JSON text.", null=True
                    ),
                ),
                (
                    "state",
                    models.SmallIntegerField(
                        help_text="How it ended; while it lives, see its live row.", null=True
                    ),
                ),
                ("result", models.TextField(help_text="Return value as JSON text.", null=True)),
                ("reason", models.TextField(help_text="Why it was cancelled.", null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "keep_until",
                    models.DateTimeField(
                        help_text="When it may be pruned, if not when its backend's retention says.",
                        null=True,
                    ),
                ),
                ("worker", models.CharField(max_length=255, null=True)),
                ("token", models.BigIntegerField(null=True)),
                (
                    "settled",
                    models.BigIntegerField(
                        help_text="The last token that settled it, if not the last token that it had.",
                        null=True,
                    ),
                ),
                (
                    "settled_by",
                    models.CharField(
                        help_text="Who settled it, if not the worker that held it.", max_length=255, null=True
                    ),
                ),
                ("attempts", models.SmallIntegerField(default=0)),
                ("interruptions", models.SmallIntegerField(default=0)),
                (
                    "duplicate_of",
                    models.UUIDField(help_text="The job that had what it was to be unique by.", null=True),
                ),
            ],
            options={
                "db_table": "dlq_job",
            },
        ),
        migrations.CreateModel(
            name="Pause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("until", models.DateTimeField(help_text="Empty: until it is resumed.", null=True)),
            ],
            options={
                "db_table": "dlq_pause",
            },
        ),
        migrations.CreateModel(
            name="Runner",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.BigIntegerField()),
                ("beat", models.BigIntegerField()),
                ("beat_at", models.DateTimeField()),
            ],
            options={
                "db_table": "dlq_runner",
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                ("incarnation", models.BigIntegerField(default=1)),
                ("pid", models.BigIntegerField()),
                ("queues", models.TextField()),
                ("slots", models.IntegerField()),
                ("kind", models.CharField(max_length=255)),
                (
                    "order",
                    models.CharField(default="work", help_text="The last that it was told.", max_length=255),
                ),
                (
                    "instructed",
                    models.BigIntegerField(default=0, help_text="How often it was told something."),
                ),
                ("heeded", models.BigIntegerField(default=0, help_text="How much of that it has confirmed.")),
            ],
            options={
                "db_table": "dlq_worker",
            },
        ),
        migrations.CreateModel(
            name="Live",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        db_column="id",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="live",
                        serialize=False,
                        to="dlq_db.job",
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("priority", models.SmallIntegerField()),
                ("state", models.SmallIntegerField()),
                ("seq", models.BigIntegerField(help_text="Grows in the order in which jobs become ready.")),
                ("due_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("token", models.BigIntegerField(default=0, help_text="Grows with every claim.")),
                (
                    "settled",
                    models.BigIntegerField(default=0, help_text="The last token that settled the job."),
                ),
                ("settled_by", models.CharField(help_text="Who settled with it.", max_length=255, null=True)),
                ("attempts", models.SmallIntegerField(default=0)),
                ("interruptions", models.SmallIntegerField(default=0)),
                (
                    "worker",
                    models.CharField(help_text="Who holds it, or held it last.", max_length=255, null=True),
                ),
                ("claimed_at", models.DateTimeField(null=True)),
                (
                    "cancel",
                    models.TextField(help_text="Why it is to be cancelled, while it runs.", null=True),
                ),
                (
                    "waits",
                    models.SmallIntegerField(
                        help_text="What it waits for while it is blocked. 1: who knows its task; 2: a slot.",
                        null=True,
                    ),
                ),
                (
                    "line",
                    models.CharField(
                        help_text="Where it waits for a slot, if it has limits.", max_length=33, null=True
                    ),
                ),
                (
                    "version",
                    models.SmallIntegerField(
                        help_text="The version of its task that it waits for; only of a parked job.",
                        null=True,
                    ),
                ),
                (
                    "mark",
                    models.CharField(
                        help_text="What no other may have, as long as it keeps them out.",
                        max_length=33,
                        null=True,
                    ),
                ),
            ],
            options={
                "db_table": "dlq_live",
            },
        ),
        migrations.CreateModel(
            name="Semaphore",
            fields=[
                (
                    "mark",
                    models.CharField(
                        help_text="What its lines begin with.",
                        max_length=16,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("slots", models.SmallIntegerField(help_text="How many there are.")),
                ("since", models.DateTimeField(help_text="When it was first seen.")),
            ],
            options={
                "db_table": "dlq_semaphore",
            },
        ),
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="note",
                        serialize=False,
                        to="dlq_db.job",
                    ),
                ),
                ("progress", models.FloatField(help_text="From 0 to 1.", null=True)),
                ("message", models.TextField(null=True)),
                ("log", models.TextField(help_text="Lines, each with its end.")),
            ],
            options={
                "db_table": "dlq_note",
            },
        ),
        migrations.CreateModel(
            name="Count",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("task", models.CharField(max_length=255)),
                ("enqueued", models.BigIntegerField(db_default=0)),
                ("duplicates", models.BigIntegerField(db_default=0)),
                ("succeeded", models.BigIntegerField(db_default=0)),
                ("failed", models.BigIntegerField(db_default=0)),
                ("cancelled", models.BigIntegerField(db_default=0)),
                ("retried", models.BigIntegerField(db_default=0)),
                ("interrupted", models.BigIntegerField(db_default=0)),
                (
                    "seconds",
                    models.FloatField(db_default=0.0, help_text="For how long attempts ran, added up."),
                ),
                ("minute", models.DateTimeField(help_text="When it began.")),
            ],
            options={
                "db_table": "dlq_count",
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("task", models.CharField(max_length=255)),
                ("enqueued", models.BigIntegerField(db_default=0)),
                ("duplicates", models.BigIntegerField(db_default=0)),
                ("succeeded", models.BigIntegerField(db_default=0)),
                ("failed", models.BigIntegerField(db_default=0)),
                ("cancelled", models.BigIntegerField(db_default=0)),
                ("retried", models.BigIntegerField(db_default=0)),
                ("interrupted", models.BigIntegerField(db_default=0)),
                (
                    "seconds",
                    models.FloatField(db_default=0.0, help_text="For how long attempts ran, added up."),
                ),
                (
                    "minute",
                    models.DateTimeField(help_text="When it began; empty in a total.", null=True),
                ),
            ],
            options={
                "db_table": "dlq_tally",
                "abstract": False,
                "indexes": [models.Index(fields=["backend", "minute", "queue"], name="dlq_tally_minute")],
            },
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("backend"),
                models.F("state"),
                models.F("finished_at"),
                condition=models.Q(("keep_until__isnull", True), ("state__isnull", False)),
                name="dlq_job_finished",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("backend"),
                models.F("state"),
                models.F("keep_until"),
                condition=models.Q(("keep_until__isnull", False)),
                name="dlq_job_kept",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("backend"),
                models.F("id"),
                condition=models.Q(("state", 6)),
                name="dlq_job_failed",
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="job",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="history",
                to="dlq_db.job",
            ),
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(fields=("backend", "queue"), name="dlq_pause_queue"),
        ),
        migrations.AddConstraint(
            model_name="runner",
            constraint=models.UniqueConstraint(fields=("backend", "name"), name="dlq_runner_name"),
        ),
        migrations.AddField(
            model_name="worker",
            name="runner",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="workers", to="dlq_db.runner"
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("backend"),
                models.F("queue"),
                models.OrderBy(models.F("priority"), descending=True),
                models.F("seq"),
                condition=models.Q(("state", 3)),
                name="dlq_live_ready",
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("backend"), models.F("due_at"), condition=models.Q(("state", 1)), name="dlq_live_due"
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(models.F("worker"), condition=models.Q(("state", 4)), name="dlq_live_running"),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(models.F("backend"), condition=models.Q(("waits", 1)), name="dlq_live_parked"),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("backend"),
                models.F("expires_at"),
                condition=models.Q(("expires_at__isnull", False), ("state__lt", 4)),
                name="dlq_live_expiry",
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("worker"), condition=models.Q(("cancel__isnull", False)), name="dlq_live_cancel"
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("line"),
                models.OrderBy(models.F("priority"), descending=True),
                models.F("seq"),
                condition=models.Q(("waits", 2)),
                name="dlq_live_line",
            ),
        ),
        migrations.AddIndex(
            model_name="live",
            index=models.Index(
                models.F("line"),
                condition=models.Q(("line__isnull", False), ("state__gte", 3)),
                name="dlq_live_slot",
            ),
        ),
        migrations.AddConstraint(
            model_name="live",
            constraint=models.UniqueConstraint(
                condition=models.Q(("mark__isnull", False)), fields=("backend", "mark"), name="dlq_live_mark"
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.UniqueConstraint(fields=("backend", "name"), name="dlq_worker_name"),
        ),
        migrations.CreateModel(
            name="Fire",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("due_at", models.DateTimeField()),
                ("at", models.DateTimeField(help_text="When that was decided.")),
                ("outcome", models.CharField(max_length=255)),
                ("job", models.UUIDField(null=True)),
                ("reason", models.TextField()),
            ],
            options={
                "db_table": "dlq_fire",
                "indexes": [models.Index(fields=["backend", "at"], name="dlq_fire_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("backend", "key", "due_at"), name="dlq_fire_due")
                ],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("backend", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("rule", models.TextField(help_text="When it is due, for whoever computes that.")),
                ("words", models.TextField(help_text="The same, for people.")),
                ("description", models.TextField()),
                (
                    "static",
                    models.BooleanField(
                        help_text="Whether a deployment declares it, which alone may change it."
                    ),
                ),
                ("task", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("priority", models.SmallIntegerField()),
                ("payload", models.TextField(help_text="Arguments as JSON text.")),
                ("overrides", models.TextField(help_text="Options of the job, as JSON text.", null=True)),
                ("max_attempts", models.SmallIntegerField()),
                ("max_interruptions", models.SmallIntegerField()),
                ("expires_after", models.FloatField(help_text="Seconds.", null=True)),
                ("metadata", models.TextField(help_text="A JSON object.", null=True)),
                (
                    "limits",
                    models.TextField(
                        help_text="What holds the job back beside its time, as JSON text.", null=True
                    ),
                ),
                ("revision", models.BigIntegerField(help_text="Changes with everything that happens to it.")),
                ("enabled", models.BooleanField(default=True)),
                ("orphaned", models.BooleanField(default=False, help_text="Nobody declares it any more.")),
                ("due_at", models.DateTimeField(null=True)),
                ("look_at", models.DateTimeField(help_text="When a scheduler looks at it next.", null=True)),
                ("declared_at", models.DateTimeField()),
                ("fires", models.BigIntegerField(default=0)),
                ("last_due_at", models.DateTimeField(null=True)),
                ("last_job", models.UUIDField(null=True)),
            ],
            options={
                "db_table": "dlq_schedule",
                "indexes": [
                    models.Index(
                        models.F("backend"),
                        models.F("look_at"),
                        models.F("key"),
                        condition=models.Q(("look_at__isnull", False)),
                        name="dlq_schedule_due",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("backend", "key"), name="dlq_schedule_key")],
            },
        ),
        TuneTables(),
    ]

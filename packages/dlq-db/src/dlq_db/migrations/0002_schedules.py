from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dlq_db", "0001_initial"),
    ]

    operations = [
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
                "indexes": [models.Index(models.F("backend"), models.F("at"), name="dlq_fire_at")],
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
    ]

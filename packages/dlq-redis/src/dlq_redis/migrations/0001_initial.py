from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Outgoing",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("backend", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("head", models.BinaryField()),
                ("data", models.BinaryField()),
                ("enqueued_at", models.DateTimeField()),
            ],
            options={"db_table": "dlq_redis_outbox", "verbose_name": "outgoing job"},
        ),
    ]

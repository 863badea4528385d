"""For systems that start themselves once more by the name of the script that they were started with."""

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    execute_from_command_line()

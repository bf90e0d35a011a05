"""What a plugin is written with: methods and their needs, tasks, teachers, and what flows through a training step."""

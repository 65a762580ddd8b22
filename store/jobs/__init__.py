"""The job queue: FireWorks' LaunchPad on both backends, which tasks and documents it takes, who holds what."""

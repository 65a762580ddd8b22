"""What campaigns are run and watched with beyond one machine: cluster profiles, a database's server, the dashboard."""

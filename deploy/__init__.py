"""What a campaign is run and watched with beyond one machine: cluster profiles, the database's server, the dashboard."""

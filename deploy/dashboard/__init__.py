"""The dashboard: campaigns, jobs, configurations, models and results of one store in a browser, read-only.

`create_app` makes the application, `serve` runs it on this machine. Only `source` and `reader` ask the database; the
pages are made from the plain values of `snapshot`.
"""

from .app import create_app
from .settings import DashboardSettings

__all__ = ["DashboardSettings", "create_app"]

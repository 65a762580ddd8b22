"""One Firetask per kind of job: read records, call one function below, write records."""

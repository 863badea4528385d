"""An app whose rows become jobs when they change; its names are as awkward as PostgreSQL and Django allow."""

"""`make deploy ENV=dev`: build and deploy one of the environments of samconfig.toml."""

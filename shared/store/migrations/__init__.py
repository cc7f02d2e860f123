"""How the schema came to be. Forward only: a release is undone by the release before it, which must still run on the newer schema."""

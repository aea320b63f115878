"""A package, for a package of that name that another distribution brings must not take its place."""

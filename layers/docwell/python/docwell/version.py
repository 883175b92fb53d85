"""The version of the package, the command line and the API."""

VERSION = "1.0.0"

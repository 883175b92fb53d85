"""One file for each vendor. Vendor exceptions stop here and become `docwell.errors`."""

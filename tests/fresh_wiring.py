"""Clear the cached factories of `docwell.wiring`, so that the next call builds from the current environment."""

import sys


def clear_caches() -> None:
    """Clear every cached factory of the wiring modules that are loaded."""
    for name, module in list(sys.modules.items()):
        if name.startswith("docwell.wiring."):
            for factory in vars(module).values():
                if hasattr(factory, "cache_clear"):
                    factory.cache_clear()

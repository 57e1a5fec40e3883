"""Objects that are sent to a library: stored safely first, indexed later."""

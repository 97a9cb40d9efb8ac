//! Sources, sinks and links of the mirror; backup is a sink, restore a source.

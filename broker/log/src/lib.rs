//! The log of one partition: append, fetch, index, recover, epochs, producer state. Synchronous.

//! A Raft quorum with a durable log store, generic over its state machine.

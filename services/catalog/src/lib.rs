//! The council's state machine on SQLite.

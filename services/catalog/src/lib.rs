//! The council's state machine on SQLite.
//!
//! ```text
//!   entries of the council's log                            queries
//!              |                                               |
//!        Catalog::apply --one transaction--> catalog.sqlite <- Reader
//!              |                                    |
//!        Outcome per entry, View (in memory)   snapshot, install
//! ```
//!
//! One [`Catalog`] per node applies the commands the council has decided, in order, and nothing else ever writes to the
//! file. Applying is deterministic: time, ids and everything else an effect depends on are in the command or in the rows,
//! so every node that has applied the same entries has the same rows. The effects of a batch and the position of its last
//! entry become durable together or not at all; an entry that comes again is recognised and skipped.
//!
//! A command that cannot be had is answered with a [`Refusal`] and changes nothing but the audit. A [`CatalogError`] is
//! something else: this node cannot go on.
//!
//! The catalog does not know how entries are agreed on, what regions make of the view, or what HTTP is.

mod answer;
mod apply;
mod catalog;
mod column;
pub mod command;
mod error;
pub mod limits;
mod migrations;
pub mod reader;
mod refusal;
mod row;
mod store;
pub mod view;

pub use answer::{Answer, NodeIdentity, Outcome, VirtualNode};
pub use catalog::{Catalog, Entry, Position};
pub use command::{BadCommand, Change, Command};
pub use error::CatalogError;
pub use reader::Reader;
pub use refusal::{Refusal, RefusalKind};
pub use view::{RouteTable, View};

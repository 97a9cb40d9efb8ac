//! Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, so that requests name only what
//! changed and answers only what is new.
//!
//! ```text
//!   request (id, epoch)    meaning
//!   0, -1                  no session, please
//!   n, -1                  end session n; answer in full
//!   n,  0                  begin a session (ending n if there is one); answer in full
//!   n,  e                  session n, its e-th request: answer what is new
//! ```
//!
//! The cache is bounded. When it is full, the session that was idle longest makes room if it was idle long enough; else
//! the client goes without one. A partition keeps the topic id it was added with: a topic made again under its name is
//! another topic.

mod cache;
mod plan;

pub use cache::{Sessions, Settings};
pub use plan::{Item, Plan, Reported, SessionError, SessionRequest, TopicKey, Wanted};

//! Ports for what is not deterministic: clocks, entropy, object stores. Cores never see them; shells get them through
//! their constructor, and tests hand in [`sim`].

mod clock;
mod entropy;
mod object;
pub mod real;
pub mod sim;

pub use clock::{BootInstant, Clock};
pub use entropy::Entropy;
pub use object::{ObjectError, ObjectInfo, ObjectStore, PortFuture};

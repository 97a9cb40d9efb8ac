use model::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The id that reads `text`.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(text.as_ref().into())
            }

            /// The id itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// A member of a consumer group, named by its coordinator. Empty is "not named yet".
    MemberId
}
text! {
    /// The name a static member keeps over restarts (KIP-345, `group.instance.id`).
    InstanceId
}

impl MemberId {
    /// Whether the coordinator has still to name it.
    pub fn is_unnamed(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request that waits for its answer, as the shell numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since boot: every deadline is on this clock.
    pub boot: Duration,
    /// Wall-clock time: what is written down.
    pub wall: Timestamp,
}

use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;

/// What a port's asynchronous method returns, so that the port can be a trait object.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One object of a store, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: String,
    /// How many bytes it holds.
    pub size: u64,
}

/// Why an object store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("object {key} does not exist")]
    NotFound {
        /// The name asked for.
        key: String,
    },
    /// A write-once object of that name is there already.
    #[error("object {key} exists already; objects are written once")]
    Exists {
        /// The name asked for.
        key: String,
    },
    /// The store answered that it will not: wrong credentials, a name it cannot hold, a body that is too large.
    #[error("object store refused to {what} {key}: {reason}")]
    Refused {
        /// The operation.
        what: &'static str,
        /// The object's name.
        key: String,
        /// What the store said.
        reason: String,
    },
    /// The store could not be reached or failed; whether a write took effect is unknown.
    #[error("object store: {what} {key}: {reason}")]
    Failed {
        /// The operation.
        what: &'static str,
        /// The object's name.
        key: String,
        /// What the store said.
        reason: String,
    },
}

impl ObjectError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// A store of write-once objects, such as one bucket of S3.
///
/// - `put_new` of a name that exists fails with `Exists` and changes nothing, whoever wins the race;
/// - a `put_new` that returned is durable and is seen by every later `read`, `head` and `list`.
pub trait ObjectStore: Send + Sync + 'static {
    /// Writes a new object.
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> PortFuture<'a, Result<(), ObjectError>>;

    /// Reads a whole object.
    fn read<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<Bytes, ObjectError>>;

    /// Reads `len` bytes of an object from byte `start` on.
    fn read_range<'a>(&'a self, key: &'a str, start: u64, len: u64) -> PortFuture<'a, Result<Bytes, ObjectError>>;

    /// The object's size.
    fn head<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<ObjectInfo, ObjectError>>;

    /// All objects whose name begins with `prefix`, in the order of their names.
    fn list<'a>(&'a self, prefix: &'a str) -> PortFuture<'a, Result<Vec<ObjectInfo>, ObjectError>>;

    /// Removes an object; removing what is not there succeeds.
    fn delete<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<(), ObjectError>>;
}

use super::error::{ArchiveError, Defect};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of an object's bytes, or of a partition's batches. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectHash([u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no SHA-256 in 64 hexadecimal digits")]
pub struct BadHash(String);

impl ObjectHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(super) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its first 16 digits, for names.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectHash {
    type Err = BadHash;

    fn from_str(digits: &str) -> Result<Self, BadHash> {
        let bad = || BadHash(digits.chars().take(80).collect());
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ObjectHash {
    type Error = BadHash;

    fn try_from(digits: String) -> Result<Self, BadHash> {
        digits.parse()
    }
}

impl From<ObjectHash> for String {
    fn from(hash: ObjectHash) -> Self {
        hash.to_string()
    }
}

/// Names an object and says what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub key: String,
    /// The hash of its bytes.
    pub hash: ObjectHash,
    /// How many bytes it has.
    pub bytes: u64,
}

impl ObjectRef {
    /// What `body` under `key` must be for ever.
    pub fn of(key: String, body: &[u8]) -> Self {
        Self { key, hash: ObjectHash::of(body), bytes: body.len() as u64 }
    }

    /// Checks that `body` is that object.
    ///
    /// # Errors
    /// [`ArchiveError`] names the object and what differs.
    pub fn verify(&self, body: &[u8]) -> Result<(), ArchiveError> {
        let found = body.len() as u64;
        if found != self.bytes {
            return Err(Defect::Size { expected: self.bytes, found }.of(&self.key));
        }
        let found = ObjectHash::of(body);
        if found != self.hash {
            return Err(Defect::Hash { expected: self.hash, found }.of(&self.key));
        }
        Ok(())
    }
}

/// Hashes a partition's batches in the order of their offsets, as they stand in the log: equal hashes mean byte-equal
/// logs, whatever segments they lie in and wherever they are.
#[derive(Clone, Debug, Default)]
pub struct ContentHasher(Sha256);

impl ContentHasher {
    /// Takes the next batches, whole and in order.
    pub fn update(&mut self, batches: &[u8]) {
        self.0.update(batches);
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> ObjectHash {
        ObjectHash::finish(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let hash = ObjectHash::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.to_string().parse::<ObjectHash>().unwrap(), hash);
        assert!("zz".repeat(32).parse::<ObjectHash>().is_err());
        assert!("ä".repeat(32).parse::<ObjectHash>().is_err());
        assert!("ab".parse::<ObjectHash>().is_err());
    }

    #[test]
    fn another_object_is_refused_by_name() {
        let reference = ObjectRef::of("seg/a".into(), b"body");
        reference.verify(b"body").unwrap();
        assert!(reference.verify(b"bodx").unwrap_err().to_string().starts_with("object seg/a: its hash is"));
        assert_eq!(
            reference.verify(b"bo").unwrap_err().to_string(),
            "object seg/a: it has 2 bytes but the manifest says 4"
        );
    }

    #[test]
    fn a_log_hashes_the_same_however_it_is_cut() {
        let (mut whole, mut parts) = (ContentHasher::default(), ContentHasher::default());
        whole.update(b"batches");
        parts.update(b"bat");
        parts.update(b"ches");
        assert_eq!(whole.hash(), parts.hash());
    }
}

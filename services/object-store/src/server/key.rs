//! Object names as file names.
//!
//! `seg/7/a b.seg` lies at `seg/7/=a%20b.seg`: a part of the name that is not the last becomes a directory, the last one
//! becomes a file whose name begins with `=`, so that `a` and `a/b` can both exist. Everything but letters, digits, `-`,
//! `_` and a dot that does not lead is percent-encoded: no name leaves the bucket, and no two names share a file.

use crate::limits::SEGMENT_BYTES_MAX;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What marks a file that is an object.
const OBJECT_MARK: char = '=';
/// The directory of an empty part, as in `a//b`; no encoded part is a lone `%`.
const EMPTY: &str = "%";

/// A name this server cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKey {
    #[error("the object name {0:?} contains a control character")]
    Control(String),
    #[error("the object name has a part of {bytes} encoded bytes between two slashes; at most {SEGMENT_BYTES_MAX} fit")]
    TooLong { bytes: usize },
}

/// Where an object lies below its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectPath {
    pub directory: PathBuf,
    pub file: String,
}

/// Finds the place of the object called `key`.
pub(crate) fn place(key: &str) -> Result<ObjectPath, BadKey> {
    if key.chars().any(char::is_control) {
        return Err(BadKey::Control(key.chars().take(64).collect()));
    }
    let (directories, file) = key.rsplit_once('/').map_or((None, key), |(head, last)| (Some(head), last));
    let directory =
        directories.into_iter().flat_map(|head| head.split('/')).map(directory_name).collect::<Result<_, _>>()?;
    Ok(ObjectPath { directory, file: format!("{OBJECT_MARK}{}", encode(file)?) })
}

fn directory_name(segment: &str) -> Result<String, BadKey> {
    if segment.is_empty() { Ok(EMPTY.to_owned()) } else { encode(segment) }
}

fn encode(segment: &str) -> Result<String, BadKey> {
    let mut encoded = String::with_capacity(segment.len());
    for (at, byte) in segment.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte == b'.' && at > 0;
        if plain {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    if encoded.len() > SEGMENT_BYTES_MAX { Err(BadKey::TooLong { bytes: encoded.len() }) } else { Ok(encoded) }
}

/// What a directory's entry is to a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The last part of the object's name, or that of the directory with its slash: entries in this order are names in
    /// their order.
    pub name: String,
    pub is_object: bool,
}

/// Reads a file's name back; `None` for what is not ours.
pub(crate) fn entry(file_name: &str, is_directory: bool) -> Option<Entry> {
    if is_directory {
        let segment = if file_name == EMPTY { String::new() } else { decode(file_name)? };
        return Some(Entry { name: segment + "/", is_object: false });
    }
    Some(Entry { name: decode(file_name.strip_prefix(OBJECT_MARK)?)?, is_object: true })
}

fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Component;

    fn name_of(path: &ObjectPath) -> String {
        let directories = path.directory.iter().map(|part| entry(part.to_str().unwrap(), true).unwrap().name);
        directories.collect::<String>() + &entry(&path.file, false).unwrap().name
    }

    #[test]
    fn every_name_comes_back_from_its_place() {
        for key in
            ["a", "a/b", "a//b", "/a", "a/", "..", "../x", "a/../b", "%2e%2e", "%", "=a", "~/.ssh", "ä b+c", "a/="]
        {
            assert_eq!(name_of(&place(key).unwrap()), key);
        }
    }

    #[test]
    fn no_name_leaves_its_bucket() {
        for key in ["../x", "/etc/passwd", "a/../../x", "./x", "..", ".", "", "%2e%2e/x", "a/.hidden"] {
            let path = place(key).unwrap();
            let all = path.directory.join(&path.file);
            assert!(all.components().all(|part| matches!(part, Component::Normal(_))), "{key:?} lies at {all:?}");
        }
    }

    #[test]
    fn an_object_and_a_directory_of_one_name_are_apart() {
        assert_ne!(place("a").unwrap().file, place("a/b").unwrap().directory.to_str().unwrap());
    }

    #[test]
    fn what_fits_no_file_is_refused() {
        assert!(matches!(place("a\0b"), Err(BadKey::Control(_))));
        assert!(matches!(place(&"x".repeat(251)), Err(BadKey::TooLong { bytes: 251 })));
        assert!(place(&"x".repeat(250)).is_ok());
    }

    #[test]
    fn a_foreign_file_is_no_object() {
        assert_eq!(entry("lost+found", false), None);
        assert_eq!(entry("=%4", false), None);
    }
}

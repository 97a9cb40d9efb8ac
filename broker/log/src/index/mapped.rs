//! The one place with a memory map, and so the one place with `unsafe`.
//!
//! A map outlives any shrinking of its file only as long as nobody touches what was cut off (SIGBUS). So: index files
//! are made larger before they are mapped, with their blocks allocated; they shrink only to the entries that were
//! published; and a truncated log gets new index files instead of shorter ones.
#![allow(unsafe_code)]

use memmap2::MmapRaw;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file as an array of 32-bit words, shared between one writer and any number of readers.
pub(super) struct Mapped {
    raw: MmapRaw,
}

impl Mapped {
    /// Maps all of `file`, which must not be empty.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        MmapRaw::map_raw(file).map(|raw| Self { raw })
    }

    /// How many words there are.
    pub(super) fn words(&self) -> usize {
        self.raw.len() / size_of::<u32>()
    }

    /// The word at `at`, as it stands in the file (big-endian).
    pub(super) fn load(&self, at: usize) -> u32 {
        u32::from_be(self.word(at).load(Ordering::Relaxed))
    }

    /// Writes the word at `at`.
    pub(super) fn store(&self, at: usize, value: u32) {
        self.word(at).store(value.to_be(), Ordering::Relaxed);
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at < self.words(), "word {at} of an index of {} words", self.words());
        // SAFETY: `at` is within the map, which lives as long as `self`. Maps begin on a page, so every word is
        // aligned. All access is atomic, so a reader that meets the writer sees an old or a new word.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().cast::<u32>().add(at)) }
    }
}

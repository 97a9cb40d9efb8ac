mod xerial;

use model::ByteCount;
use std::fmt;
use std::io::{self, BufReader, Read, Write};

/// The largest window a zstd frame may ask for, as a power of two: what zstd's own highest level uses, and no more
/// than the cap on decompressed bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const ZSTD_LEVEL: i32 = 3;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in the framing of xerial's Java library; raw snappy is read too, as some clients send it.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// A compression code that Kafka has not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compression code {0} is unknown; gzip, snappy, lz4 and zstd (1 to 4) are")]
pub struct UnknownCompression(pub i16);

impl Compression {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The kind with the code `code` in a batch's attributes.
    ///
    /// # Errors
    /// [`UnknownCompression`] for 5 and above.
    pub fn of_code(code: i16) -> Result<Self, UnknownCompression> {
        usize::try_from(code).ok().and_then(|at| Self::ALL.get(at)).copied().ok_or(UnknownCompression(code))
    }

    /// Its code in a batch's attributes.
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Compresses `plain`.
    pub(crate) fn compress(self, plain: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => Ok(plain),
            Self::Gzip => gzip(&plain),
            Self::Snappy => Ok(xerial::compress(&plain)),
            Self::Lz4 => lz4(&plain),
            Self::Zstd => zstd::encode_all(&plain[..], ZSTD_LEVEL),
        }
        .expect("compressing from memory to memory has nothing to fail on")
    }

    /// Reads `packed` as plain bytes, a piece at a time. More than `cap` of them is an error.
    pub(crate) fn reader<'a>(self, packed: &'a [u8], cap: ByteCount) -> io::Result<Box<dyn Read + Send + 'a>> {
        let plain: Box<dyn Read + Send + 'a> = match self {
            Self::None => return Ok(Box::new(packed)),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Snappy => xerial::reader(packed, cap)?,
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        };
        Ok(Box::new(BufReader::new(Capped { plain, left: cap.0, cap })))
    }
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Independent blocks of 64 KiB, as Kafka's own clients write them.
fn lz4(plain: &[u8]) -> io::Result<Vec<u8>> {
    let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(plain)?;
    encoder.finish().map_err(io::Error::other)
}

impl fmt::Display for Compression {
    /// As in Kafka's `compression.type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        known.ok_or_else(|| format!("compression {name:?} is unknown; choose none, gzip, snappy, lz4 or zstd"))
    }
}

/// Lets `left` bytes through and fails at the next one.
struct Capped<R> {
    plain: R,
    left: u64,
    cap: ByteCount,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.plain.read(into)?;
        self.left = self.left.checked_sub(taken as u64).ok_or_else(|| too_large(self.cap))?;
        Ok(taken)
    }
}

/// The error of a reader whose plain bytes exceed `cap`.
fn too_large(cap: ByteCount) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("the records grow beyond {cap} when decompressed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(kind: Compression, packed: &[u8], cap: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        kind.reader(packed, ByteCount(cap))?.read_to_end(&mut out)?;
        Ok(out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_kind_gives_back_what_it_took(
            piece in proptest::collection::vec(any::<u8>(), 0..300),
            repeats in 1usize..400,
        ) {
            let bytes = piece.repeat(repeats);
            for kind in Compression::ALL {
                let packed = kind.compress(bytes.clone());
                prop_assert_eq!(&plain(kind, &packed, bytes.len() as u64).unwrap(), &bytes, "{}", kind);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in Compression::ALL {
                let _ = plain(kind, &bytes, 1 << 20);
            }
        }
    }

    #[test]
    fn one_byte_over_the_cap_is_refused() {
        for kind in Compression::ALL.into_iter().skip(1) {
            let packed = kind.compress(vec![7; 100_000]);
            assert_eq!(plain(kind, &packed, 100_000).unwrap().len(), 100_000, "{kind}");
            let error = plain(kind, &packed, 99_999).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{kind}");
        }
    }

    #[test]
    fn names_and_codes_are_kafkas() {
        for (code, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
            let kind: Compression = name.parse().unwrap();
            assert_eq!((kind.code(), kind.to_string().as_str()), (code as i16, name));
            assert_eq!(Compression::of_code(code as i16), Ok(kind));
        }
        assert_eq!(Compression::of_code(5), Err(UnknownCompression(5)));
    }
}

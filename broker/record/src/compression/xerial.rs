//! Snappy as Kafka clients write it: xerial's framing, or one raw block.
//!
//! A stream starts with `82 'SNAPPY' 00`, version and compatible version (two big-endian `i32`), and goes on with
//! chunks: a big-endian `i32` length and that many bytes of raw snappy.

use super::too_large;
use model::ByteCount;
use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
const CHUNK_BYTES: usize = 32 << 10;
/// No snappy element yields more: a copy of 64 bytes takes 2 bytes or more.
const EXPANSION_MAX: usize = 64;

/// Compresses in chunks of 32 KiB, as the Java library does.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in plain.chunks(CHUNK_BYTES) {
        let packed = encoder.compress_vec(chunk).expect("a chunk is far below snappy's limit of 4 GiB");
        out.extend((packed.len() as i32).to_be_bytes());
        out.extend(packed);
    }
    out
}

/// Reads either form.
pub(super) fn reader(packed: &[u8], cap: ByteCount) -> io::Result<Box<dyn Read + Send + '_>> {
    if packed.starts_with(MAGIC) && packed.len() >= HEADER_BYTES {
        return Ok(Box::new(Chunks { rest: &packed[HEADER_BYTES..], plain: Vec::new(), position: 0, cap }));
    }
    Ok(Box::new(io::Cursor::new(block(packed, cap)?)))
}

/// One raw block. Memory is taken only after the length it claims was found possible.
fn block(packed: &[u8], cap: ByteCount) -> io::Result<Vec<u8>> {
    let claimed = snap::raw::decompress_len(packed)?;
    if claimed as u64 > cap.0 {
        return Err(too_large(cap));
    }
    if claimed > packed.len().saturating_mul(EXPANSION_MAX) {
        let message = format!("{} bytes of snappy cannot hold the {claimed} bytes they claim", packed.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(packed)?)
}

struct Chunks<'a> {
    rest: &'a [u8],
    plain: Vec<u8>,
    position: usize,
    cap: ByteCount,
}

impl Chunks<'_> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| io::ErrorKind::InvalidData)?;
        let (packed, rest) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.plain = block(packed, self.cap)?;
        self.position = 0;
        self.rest = rest;
        Ok(())
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.position == self.plain.len() && !self.rest.is_empty() {
            self.next_chunk()?;
        }
        let taken = (&self.plain[self.position..]).read(into)?;
        self.position += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(packed: &[u8], cap: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        reader(packed, ByteCount(cap))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn raw_snappy_is_read_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
        assert_eq!(plain(&raw, 100).unwrap(), b"hello hello hello");
    }

    #[test]
    fn a_few_bytes_that_claim_a_hundred_megabytes_are_refused_before_memory_is_taken() {
        let bomb = [0x80, 0x80, 0x80, 0x32, 0x00];
        assert_eq!(snap::raw::decompress_len(&bomb).unwrap(), 100 << 20);
        assert_eq!(plain(&bomb, 128 << 20).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(plain(&bomb, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_torn_chunk_is_an_error() {
        let packed = compress(&[1; 100_000]);
        assert_eq!(plain(&packed, 1 << 20).unwrap(), [1; 100_000]);
        for cut in [HEADER_BYTES + 2, HEADER_BYTES + 6, packed.len() - 1] {
            assert_eq!(plain(&packed[..cut], 1 << 20).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}

//! Zigzag variable-length integers, as records use them. At most 5 bytes for 32 bits, 10 for 64.

/// A bad variable-length integer, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadVarint;

/// Appends `value` as zigzag varint (or varlong: the encoding is the same).
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends `value` as it is, seven bits at a time.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put`] takes for `value`.
pub(crate) const fn len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - (zigzag | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Takes a zigzag varlong from the front of `bytes`.
pub(crate) fn take_long(bytes: &mut &[u8]) -> Result<i64, BadVarint> {
    read(10, || {
        let (first, rest) = bytes.split_first().ok_or(BadVarint)?;
        *bytes = rest;
        Ok(*first)
    })
}

/// Takes a zigzag varint of 32 bits from the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<i32, BadVarint> {
    let before = bytes.len();
    let value = take_long(bytes)?;
    if before - bytes.len() > 5 {
        return Err(BadVarint);
    }
    i32::try_from(value).map_err(|_| BadVarint)
}

/// Decodes a zigzag number of at most `bytes_max` bytes from whatever `next` hands out.
pub(crate) fn read<E: From<BadVarint>>(bytes_max: usize, mut next: impl FnMut() -> Result<u8, E>) -> Result<i64, E> {
    let mut value = 0u64;
    for index in 0..bytes_max {
        let byte = next()?;
        if index == 9 && byte > 1 {
            return Err(BadVarint.into());
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(BadVarint.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_comes_back(value: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(bytes.len(), len(value));
            let mut rest = &bytes[..];
            prop_assert_eq!(take_long(&mut rest), Ok(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_number_too_wide_for_32_bits_is_refused(value: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(take(&mut &bytes[..]).ok(), i32::try_from(value).ok());
        }
    }

    #[test]
    fn an_endless_number_is_refused() {
        assert_eq!(take_long(&mut &[0xff; 20][..]), Err(BadVarint));
        assert_eq!(take(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(BadVarint));
        assert_eq!(take_long(&mut &[][..]), Err(BadVarint));
    }
}

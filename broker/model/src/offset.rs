use std::fmt;

/// A position in the log of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// The first position of a log that never lost its head.
    pub const ZERO: Self = Self(0);

    /// The position `count` further on. Saturates: a log ends before `i64::MAX`.
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many positions lie between `earlier` and this one; 0 when `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        let distance = self.0.saturating_sub(earlier.0);
        if distance > 0 { distance as u64 } else { 0 }
    }

    /// Moves forward to `other` if that is further on; never back.
    pub fn advance(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of offsets: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct OffsetRange {
    /// The first offset of the range.
    pub start: Offset,
    /// The first offset behind it.
    pub end: Offset,
}

impl OffsetRange {
    /// The range from `start` up to, not including, `end`.
    pub const fn new(start: Offset, end: Offset) -> Self {
        Self { start, end }
    }

    /// How many offsets it covers.
    pub const fn len(&self) -> u64 {
        self.end.since(self.start)
    }

    /// Whether it covers none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `offset` lies in it.
    pub fn contains(&self, offset: Offset) -> bool {
        self.start <= offset && offset < self.end
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_never_goes_back() {
        let mut tail = Offset(7);
        tail.advance(Offset(3));
        assert_eq!(tail, Offset(7));
        tail.advance(Offset(9));
        assert_eq!(tail, Offset(9));
    }

    #[test]
    fn a_range_is_half_open() {
        let range = OffsetRange::new(Offset(3), Offset(5));
        assert!(range.contains(Offset(3)) && !range.contains(Offset(5)));
        assert_eq!(range.len(), 2);
        assert!(OffsetRange::new(Offset(5), Offset(3)).is_empty());
    }
}

use super::limits::ORIGINS_MAX;
use model::{Incarnation, Offset};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A record, the same in every region: who took it, and its offset there.
///
/// The origin is the region's incarnation: one that lost its disks begins its offsets again, under another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The region that took it from a client.
    pub origin: Incarnation,
    /// Its offset there.
    pub offset: Offset,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.origin, self.offset)
    }
}

/// Where the log of a region begins. No two regions' logs have an offset in common: a client that comes from another one,
/// or from the one of a region that was rebuilt, is told that its place is out of range, and never reads on elsewhere.
pub const fn first_offset(own: Incarnation) -> Offset {
    Offset((own.0 as i64) << 47)
}

/// How far each origin's records have come, as the tail of each: a version vector. Origins that are not in it are at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vector(Vec<(Incarnation, Offset)>);

impl Vector {
    /// Behind the last record of `origin` that is in it.
    pub fn tail(&self, origin: Incarnation) -> Offset {
        self.place(origin).map_or(Offset::ZERO, |at| self.0[at].1)
    }

    fn place(&self, origin: Incarnation) -> Result<usize, usize> {
        self.0.binary_search_by_key(&origin, |(origin, _)| *origin)
    }

    /// Moves `origin` forward to `tail`; never back.
    pub fn advance(&mut self, origin: Incarnation, tail: Offset) {
        match self.place(origin) {
            Ok(at) => self.0[at].1.advance(tail),
            Err(at) if tail > Offset::ZERO => self.0.insert(at, (origin, tail)),
            Err(_) => {}
        }
    }

    /// Whether the record is in it.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.offset < self.tail(dot.origin)
    }

    /// Whether everything of `other` is in it.
    pub fn includes(&self, other: &Self) -> bool {
        other.iter().all(|(origin, tail)| self.tail(origin) >= tail)
    }

    /// Takes in everything of `other`.
    pub fn join(&mut self, other: &Self) {
        other.iter().for_each(|(origin, tail)| self.advance(origin, tail));
    }

    /// The origins and their tails, in the order of the origins.
    pub fn iter(&self) -> impl Iterator<Item = (Incarnation, Offset)> + '_ {
        self.0.iter().copied()
    }

    /// How many origins it names.
    pub const fn origins(&self) -> usize {
        self.0.len()
    }

    /// The vector of these tails; `None` when there are too many, or they are not in the order of their origins.
    pub fn new(tails: Vec<(Incarnation, Offset)>) -> Option<Self> {
        let sorted = tails.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let sound = sorted && tails.len() <= ORIGINS_MAX && tails.iter().all(|(_, tail)| *tail > Offset::ZERO);
        sound.then_some(Self(tails))
    }
}

impl FromIterator<(Incarnation, Offset)> for Vector {
    fn from_iter<I: IntoIterator<Item = (Incarnation, Offset)>>(tails: I) -> Self {
        let mut vector = Self::default();
        tails.into_iter().for_each(|(origin, tail)| vector.advance(origin, tail));
        vector
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (origin, tail)) in self.iter().enumerate() {
            write!(f, "{}{origin}:{tail}", if at == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(tails: &[(u16, i64)]) -> Vector {
        tails.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect()
    }

    #[test]
    fn a_vector_only_grows_and_covers_what_is_below_it() {
        let mut known = vector(&[(2, 5)]);
        known.advance(Incarnation(2), Offset(3));
        known.join(&vector(&[(1, 4), (3, 0)]));
        assert_eq!(known, vector(&[(1, 4), (2, 5)]));
        assert!(known.covers(Dot { origin: Incarnation(2), offset: Offset(4) }));
        assert!(!known.covers(Dot { origin: Incarnation(2), offset: Offset(5) }));
        assert!(known.includes(&vector(&[(1, 4)])) && !known.includes(&vector(&[(3, 1)])));
        assert_eq!(known.to_string(), "{1:4, 2:5}");
    }

    #[test]
    fn a_list_out_of_order_is_no_vector() {
        let tail = |origin: u16| (Incarnation(origin), Offset(1));
        assert!(Vector::new(vec![tail(1), tail(2)]).is_some());
        assert_eq!(Vector::new(vec![tail(2), tail(1)]), None);
        assert_eq!(Vector::new(vec![tail(2), tail(2)]), None);
        assert_eq!(Vector::new((1..=65).map(tail).collect()), None);
        assert_eq!(Vector::new(vec![(Incarnation(1), Offset(-1))]), None);
    }
}

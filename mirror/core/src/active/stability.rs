use super::Vector;
use model::{Incarnation, Offset};
use std::collections::BTreeMap;

/// What is known of one region: every record it writes at or above `from` has seen at least `seen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The region.
    pub region: Incarnation,
    /// From this offset of its own on.
    pub from: Offset,
    /// What it had received by then.
    pub seen: Vector,
}

/// What a region knows of what all others have received. A link's answer carries the source's [rows](Knowledge::rows).
#[derive(Clone, Debug, Default)]
pub struct Knowledge(BTreeMap<Incarnation, Row>);

impl Knowledge {
    /// Takes note of a row, if every record below its start is here. One that is older changes nothing.
    pub fn note(&mut self, row: &Row, received: &Vector) {
        if received.tail(row.region) < row.from {
            return;
        }
        let known = self.0.entry(row.region).or_insert_with(|| row.clone());
        known.from.advance(row.from);
        known.seen.join(&row.seen);
    }

    /// What is known, for others.
    pub fn rows(&self) -> impl Iterator<Item = &Row> + '_ {
        self.0.values()
    }

    /// What all of `regions` have received, as far as is known where `received` is here: no record that is still to
    /// come can be without having seen that. A region that was never heard of has received nothing.
    pub fn stable(&self, own: Incarnation, regions: &[Incarnation], received: &Vector) -> Vector {
        received.iter().map(|(origin, tail)| (origin, self.received_by_all(origin, own, regions).min(tail))).collect()
    }

    fn received_by_all(&self, origin: Incarnation, own: Incarnation, regions: &[Incarnation]) -> Offset {
        let others = regions.iter().filter(|region| **region != origin && **region != own);
        let tails = others.map(|region| self.0.get(region).map_or(Offset::ZERO, |row| row.seen.tail(origin)));
        tails.min().unwrap_or(Offset(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONS: [Incarnation; 3] = [Incarnation(1), Incarnation(2), Incarnation(3)];

    fn vector(tails: &[(u16, i64)]) -> Vector {
        tails.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect()
    }

    fn row(region: u16, from: i64, seen: &[(u16, i64)]) -> Row {
        Row { region: Incarnation(region), from: Offset(from), seen: vector(seen) }
    }

    #[test]
    fn what_one_region_may_lack_is_not_stable() {
        let (mut known, received) = (Knowledge::default(), vector(&[(1, 10), (2, 7), (3, 4)]));
        let stable = |known: &Knowledge| known.stable(REGIONS[0], &REGIONS, &received);
        known.note(&row(2, 7, &[(1, 8), (3, 4)]), &received);
        assert_eq!(stable(&known), vector(&[(3, 4)]));
        known.note(&row(3, 4, &[(1, 6), (2, 5)]), &received);
        assert_eq!(stable(&known), vector(&[(1, 6), (2, 5), (3, 4)]));
    }

    #[test]
    fn a_row_counts_once_everything_below_it_is_here() {
        let mut known = Knowledge::default();
        known.note(&row(2, 8, &[(1, 8)]), &vector(&[(2, 7)]));
        assert_eq!(known.rows().count(), 0);
        known.note(&row(2, 8, &[(1, 8)]), &vector(&[(2, 8)]));
        known.note(&row(2, 3, &[(1, 2)]), &vector(&[(2, 8)]));
        assert_eq!(known.rows().next(), Some(&row(2, 8, &[(1, 8)])));
    }
}

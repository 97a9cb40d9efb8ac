use super::{Digest, Kept};
use model::{KeyProof, Offset, OffsetRange, Timestamp};
use serde::{Deserialize, Serialize};

/// Of what a digest of keys is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestOf {
    /// The offsets.
    pub range: OffsetRange,
    /// Whoever holds everything below knows which transactions in the range were aborted.
    pub decided: Offset,
    /// Which digest of the owner's it is, or is compared with; never 0.
    pub number: u64,
    /// Whether the copy was other than the owner when it was digested first.
    pub again: bool,
}

/// One side of a compacted partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSide {
    /// Its log start.
    pub start: Offset,
    /// Below it the cleaner may have taken away what a later record replaces.
    pub cleaned_to: Offset,
    /// Below it everything is there for good.
    pub committed: Offset,
}

impl DigestOf {
    /// Whether `side` still has, and has already, of every key the latest record in the range.
    pub fn can_be_made(&self, side: &DigestSide) -> bool {
        side.start <= self.range.start && side.cleaned_to <= self.range.end && self.decided <= side.committed
    }
}

/// A digest that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeDigest {
    /// Of what.
    pub of: DigestOf,
    /// The digest; `None` of records that cannot be read any more.
    pub digest: Option<Digest>,
}

/// How far one copy is proven by its keys, as its source's digests come in.
///
/// A difference counts when the copy was digested twice: what the disk gives once it may not give again.
#[derive(Clone, Debug, Default)]
pub struct KeyProver {
    heard: Option<MadeDigest>,
    again: bool,
    /// The number of the digest that was compared to the end.
    compared: Option<u64>,
    proof: Option<KeyProof>,
    difference: Option<OffsetRange>,
}

impl KeyProver {
    /// The number of the last digest heard; 0 for none.
    pub fn known(&self) -> u64 {
        self.heard.map_or(0, |made| made.of.number)
    }

    /// Takes note of a digest of the source.
    pub fn hear(&mut self, made: MadeDigest) {
        if made.of.number != self.known() {
            (self.heard, self.again) = (Some(made), false);
        }
    }

    /// What the copy is to make a digest of; nothing when it was compared.
    pub fn wanted(&self) -> Option<DigestOf> {
        let of = self.heard?.of;
        (self.compared != Some(of.number)).then_some(DigestOf { again: self.again, ..of })
    }

    /// Compares what the copy has made, if it is what is wanted; gives the range of a difference that is certain.
    pub fn take(&mut self, now: Timestamp, copy: &Kept) -> Option<OffsetRange> {
        let (wanted, heard) = (self.wanted()?, self.heard?);
        let made = copy.digest.filter(|made| made.of == wanted)?;
        match made.digest.filter(|digest| Some(*digest) == heard.digest) {
            Some(Digest { keys, .. }) => {
                self.proof = Some(KeyProof { range: wanted.range, keys, compared_at: now });
                self.difference = None;
            }
            None if !wanted.again => {
                self.again = true;
                return None;
            }
            None => self.difference = Some(wanted.range),
        }
        self.compared = Some(wanted.number);
        self.difference
    }

    /// What was found could not be kept: it is to be found again.
    pub fn find_again(&mut self) {
        self.compared = self.compared.filter(|_| self.difference.is_none());
    }

    /// How far the copy is proven to have the same keys; nothing before the first comparison.
    pub const fn proof(&self) -> Option<KeyProof> {
        self.proof
    }

    /// Where it has not.
    pub const fn difference(&self) -> Option<OffsetRange> {
        self.difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64) -> DigestOf {
        DigestOf { range: OffsetRange::new(Offset(3), Offset(50)), decided: Offset(60), number, again: false }
    }

    fn made(of: DigestOf, hash: u64) -> MadeDigest {
        MadeDigest { of, digest: Some(Digest { keys: 4, hash }) }
    }

    /// What comes of a copy that makes `hash` of what is wanted.
    fn round(prover: &mut KeyProver, hash: u64) -> Option<OffsetRange> {
        let digest = prover.wanted().map(|wanted| made(wanted, hash));
        prover.take(Timestamp(9), &Kept { digest, ..Kept::default() })
    }

    #[test]
    fn a_digest_is_made_where_nothing_of_the_range_is_missing_or_undecided() {
        let can = |start, cleaned_to, committed| {
            let [start, cleaned_to, committed] = [start, cleaned_to, committed].map(Offset);
            of(1).can_be_made(&DigestSide { start, cleaned_to, committed })
        };
        assert!(can(3, 50, 60) && can(0, 0, 90));
        assert!(!can(4, 50, 60), "records are gone");
        assert!(!can(3, 51, 60), "a later record may have replaced the latest of the range");
        assert!(!can(3, 50, 59), "the end of a transaction may be missing");
    }

    #[test]
    fn an_equal_digest_proves_the_copy_and_is_compared_once() {
        let mut prover = KeyProver::default();
        assert_eq!((prover.wanted(), prover.known()), (None, 0));
        prover.hear(made(of(7), 1));
        assert_eq!(round(&mut prover, 1), None);
        let proof = KeyProof { range: of(7).range, keys: 4, compared_at: Timestamp(9) };
        assert_eq!((prover.proof(), prover.difference(), prover.wanted()), (Some(proof), None, None));
        prover.hear(made(of(8), 1));
        assert_eq!(prover.wanted(), Some(of(8)));
    }

    #[test]
    fn a_difference_counts_when_the_copy_was_digested_twice() {
        let mut prover = KeyProver::default();
        prover.hear(made(of(7), 1));
        assert_eq!(round(&mut prover, 2), None);
        assert_eq!(prover.wanted(), Some(DigestOf { again: true, ..of(7) }));
        let once = Kept { digest: Some(made(of(7), 2)), ..Kept::default() };
        assert_eq!(prover.take(Timestamp(9), &once), None, "that was the first");
        assert_eq!(round(&mut prover, 2), Some(of(7).range));
        assert_eq!((prover.wanted(), prover.difference()), (None, Some(of(7).range)));
        prover.find_again();
        assert_eq!(round(&mut prover, 2), Some(of(7).range));
    }

    #[test]
    fn what_was_read_wrong_once_is_no_difference_and_what_cannot_be_read_is_one() {
        let mut prover = KeyProver::default();
        prover.hear(made(of(7), 1));
        assert_eq!((round(&mut prover, 2), round(&mut prover, 1)), (None, None));
        assert_eq!((prover.difference(), prover.proof().is_some()), (None, true));
        prover.hear(made(of(8), 1));
        let unreadable = |prover: &mut KeyProver| {
            let digest = prover.wanted().map(|of| MadeDigest { of, digest: None });
            prover.take(Timestamp(9), &Kept { digest, ..Kept::default() })
        };
        assert_eq!((unreadable(&mut prover), unreadable(&mut prover)), (None, Some(of(8).range)));
    }
}

use super::limits::PORTIONS_MAX;
use super::{Content, Provenance, Run, Vector, Written};
use bytes::Bytes;
use model::{Incarnation, LeaderEpoch, Offset, OffsetRange};

/// What a target asks a source for. It names all it has, so that nothing of a link has to be kept but its own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks: nothing it wrote is sent.
    pub target: Incarnation,
    /// What it has received.
    pub have: Vector,
    /// Whose records it takes over this link; those of others come over other links.
    pub wanted: Vec<Incarnation>,
    /// The most records to send.
    pub records_max: u64,
}

/// Records of one region that lie together in the source's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Where they lie in the source's log.
    pub range: OffsetRange,
    /// Their story.
    pub written: Written,
}

/// Records of one region, as a link carries them.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Their story.
    pub portion: Portion,
    /// Their batches, whole.
    pub batches: Bytes,
}

/// What of a log below `readable` a target that asks so is to be sent, in the order of that log.
///
/// What the target has or wrote itself is left out: no record goes back to its origin, nor twice anywhere. The answer
/// ends before the first record whose region had received what the target will not have by then: that comes over
/// another link first. So every log has a record behind all that its writer's region had received.
pub fn select(log: &Provenance, readable: Offset, ask: &Ask) -> Vec<Portion> {
    let mut have = ask.have.clone();
    let mut left = ask.records_max;
    let mut portions = Vec::new();
    let Some(from) = first_wanted(log, ask) else { return portions };
    for run in log.runs_from(from).take_while(|run| run.local < readable) {
        let Content::Written(written) = &run.content else { continue };
        if left == 0 || portions.len() >= PORTIONS_MAX {
            break;
        }
        let is_wanted = written.origin != ask.target && ask.wanted.contains(&written.origin);
        let Some(portion) = is_wanted.then(|| rest(run, written, &have, readable, left)).flatten() else { continue };
        if !covers_seen(&have, written) {
            break;
        }
        left -= portion.range.len();
        have.advance(written.origin, portion.end());
        portions.push(portion);
    }
    portions
}

fn first_wanted(log: &Provenance, ask: &Ask) -> Option<Offset> {
    let wanted = ask.wanted.iter().filter(|origin| **origin != ask.target);
    wanted.filter_map(|origin| log.first_from(*origin, ask.have.tail(*origin))).min()
}

/// What of a run is readable and not there yet.
fn rest(run: &Run, written: &Written, have: &Vector, readable: Offset, most: u64) -> Option<Portion> {
    let known = have.tail(written.origin).since(written.start);
    let local = run.local.plus(i64::try_from(known).ok()?);
    let end = run.end().min(readable).min(local.plus(i64::try_from(most).unwrap_or(i64::MAX)));
    let start = written.start.plus(known as i64);
    let after = if known > 0 { start } else { written.after };
    let range = OffsetRange::new(local, end);
    (!range.is_empty()).then(|| Portion { range, written: Written { start, after, ..written.clone() } })
}

/// Whether everything the records' region had received of others is there.
fn covers_seen(have: &Vector, written: &Written) -> bool {
    written.seen.iter().all(|(origin, tail)| origin == written.origin || have.tail(origin) >= tail)
}

/// What a target makes of a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is appended; `gap` names records of its origin that the source does not have any more.
    Take {
        /// They will never be here.
        gap: Option<OffsetRange>,
    },
    /// All of it is here.
    Known,
}

/// Why a portion is not taken. The answer's rest is dropped; the next ask says what is really here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was written here.
    #[error("records that region {0} wrote came back to it")]
    OwnRecords(Incarnation),
    /// Some of it is here, some is not: it belongs to an earlier ask.
    #[error("records of region {origin} from {start} on were sent while those up to {received} are here")]
    Overlap {
        /// The origin.
        origin: Incarnation,
        /// Where the portion begins there.
        start: Offset,
        /// What is here.
        received: Offset,
    },
    /// Its region had received more than this one has.
    #[error("records of region {origin} were sent before those of region {missing} up to {tail} that it had received")]
    Premature {
        /// The origin.
        origin: Incarnation,
        /// Whose records are missing.
        missing: Incarnation,
        /// Up to where.
        tail: Offset,
    },
    /// Its epoch is older than the one before it: the origin's log was cut, or the source is not what it was.
    #[error("records of region {origin} have leader epoch {found} behind records of epoch {last}")]
    EpochWentBack {
        /// The origin.
        origin: Incarnation,
        /// Their epoch.
        found: LeaderEpoch,
        /// The epoch before.
        last: LeaderEpoch,
    },
    /// It is empty, or it is not what it says it follows.
    #[error("records of region {0} say that they follow what lies behind them, or are none")]
    Senseless(Incarnation),
    /// It holds records of one region too many.
    #[error("records of region {0} are one origin too many for one partition")]
    TooManyOrigins(Incarnation),
    /// A region has not been heard of for so long that no more can be told apart.
    #[error("{held} versions wait for a region that has not received them; at most {limit} are told apart")]
    Full {
        /// How many versions are held.
        held: usize,
        /// How many may be.
        limit: usize,
    },
}

pub(super) fn judge(log: &Provenance, portion: &Portion) -> Result<Judgement, Refusal> {
    let Written { origin, start, after, epoch, seen, .. } = &portion.written;
    let (origin, received) = (*origin, log.received().tail(*origin));
    if origin == log.own() {
        return Err(Refusal::OwnRecords(origin));
    }
    if *after > *start || portion.range.is_empty() || portion.range.len() > u64::from(u32::MAX) {
        return Err(Refusal::Senseless(origin));
    }
    if portion.end() <= received {
        return Ok(Judgement::Known);
    }
    if *start < received {
        return Err(Refusal::Overlap { origin, start: *start, received });
    }
    let missing = seen.iter().find(|(other, tail)| *other != origin && log.received().tail(*other) < *tail);
    if let Some((missing, tail)) = missing {
        return Err(Refusal::Premature { origin, missing, tail });
    }
    match log.last_epoch(origin) {
        Some(last) if *epoch < last => Err(Refusal::EpochWentBack { origin, found: *epoch, last }),
        _ => Ok(Judgement::Take { gap: (*after > received).then_some(OffsetRange::new(received, *after)) }),
    }
}

impl Portion {
    /// Behind its last record, at its origin.
    pub const fn end(&self) -> Offset {
        self.written.start.plus(self.range.len() as i64)
    }
}

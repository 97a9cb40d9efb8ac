use super::*;
use crate::NodeId;
use std::fs;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

fn position(index: u64) -> Position {
    Position { term: 1 + index / 10, leader: NodeId::from(1), index }
}

fn entry(index: u64, bytes: usize) -> Entry {
    let body = Bytes::from(format!("entry {index} ").repeat(bytes / 9 + 1).into_bytes());
    Entry { position: position(index), body }
}

fn append(journal: &mut Journal, entries: &[Entry]) {
    journal.lock().push(entries).unwrap();
    journal.append(entries).unwrap();
    journal.flush().unwrap();
}

/// A journal with the entries of `indexes`, one flush each.
fn filled(dir: &Path, indexes: std::ops::Range<u64>, bytes: usize) -> Journal {
    let mut journal = Journal::open(dir).unwrap();
    for index in indexes {
        append(&mut journal, &[entry(index, bytes)]);
    }
    journal
}

fn entries(journal: &Journal) -> Vec<Entry> {
    let found = journal.lock().lookup(0..u64::MAX);
    found.into_iter().map(|found| found.read().unwrap()).collect()
}

fn indexes(journal: &Journal) -> Vec<u64> {
    entries(journal).iter().map(|entry| entry.position.index).collect()
}

#[test]
fn entries_are_there_again_after_a_restart() {
    let dir = TempDir::new().unwrap();
    drop(filled(dir.path(), 0..30, 100));
    let journal = Journal::open(dir.path()).unwrap();
    let found = entries(&journal);
    assert_eq!(found.len(), 30);
    for (index, found) in found.iter().enumerate() {
        let written = entry(index as u64, 100);
        assert_eq!((found.position, &found.body), (written.position, &written.body));
    }
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_entries_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..5, 40);
    let mut tails = vec![journal.active().tail];
    // These three are written together, so none of them is known to be durable when it is written.
    let last: Vec<_> = (5..8).map(|index| entry(index, 40)).collect();
    for one in &last {
        journal.lock().push(std::slice::from_ref(one)).unwrap();
        journal.append(std::slice::from_ref(one)).unwrap();
        tails.push(journal.active().tail);
    }
    let path = journal.active().path.clone();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for cut in tails[0]..=whole.len() as u64 {
        fs::write(&path, &whole[..cut as usize]).unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let kept = 4 + tails.iter().filter(|tail| **tail <= cut).count() as u64;
        assert_eq!(indexes(&journal), (0..kept).collect::<Vec<_>>(), "cut at {cut}");
        append(&mut journal, &[entry(kept, 40)]);
        drop(journal);
        assert_eq!(indexes(&Journal::open(dir.path()).unwrap()).len() as u64, kept + 1, "cut at {cut}");
    }
}

#[test]
fn damage_below_what_was_durable_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..5, 40);
    let path = journal.active().path.clone();
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    bytes[150] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Journal::open(dir.path()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn truncation_removes_segments_and_the_rest_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..40, 300 << 10);
    assert!(journal.segments.len() > 2);
    journal.truncate(5).unwrap();
    assert_eq!(journal.segments.len(), 1);
    append(&mut journal, &[entry(5, 10)]);
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(indexes(&journal), (0..=5).collect::<Vec<_>>());
    assert_eq!(entries(&journal)[5].body, entry(5, 10).body);
}

#[test]
fn a_purge_removes_whole_segments_and_is_remembered() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..40, 300 << 10);
    let before = journal.segments.len();
    journal.purge(position(30)).unwrap();
    journal.flush().unwrap();
    assert!(journal.segments.len() < before);
    drop(journal);
    let mut journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.lock().purged(), Some(position(30)));
    assert_eq!(indexes(&journal), (31..40).collect::<Vec<_>>());
    journal.purge(position(100)).unwrap();
    append(&mut journal, &[entry(101, 10)]);
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.lock().purged(), Some(position(100)));
    assert_eq!(indexes(&journal), [101]);
}

#[test]
fn a_crash_between_the_new_segment_and_the_removal_of_the_old_keeps_the_purge() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..5, 40);
    journal.roll(Some(position(50))).unwrap();
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!((journal.lock().last(), journal.segments.len()), (Some(position(50)), 1));
}

#[test]
fn a_segment_that_a_crash_left_empty_is_made_again() {
    let dir = TempDir::new().unwrap();
    drop(filled(dir.path(), 0..5, 40));
    fs::write(dir.path().join("00000000000000000005.log"), [9, 0]).unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    append(&mut journal, &[entry(5, 40)]);
    assert_eq!(indexes(&journal), (0..6).collect::<Vec<_>>());
}

#[test]
fn entries_that_left_the_memory_are_read_from_their_files() {
    let dir = TempDir::new().unwrap();
    let journal = filled(dir.path(), 0..40, 300 << 10);
    let found = journal.lock().lookup(0..40);
    assert!(found.iter().any(|found| !found.is_cached()) && found.iter().any(Lookup::is_cached));
    for found in found {
        let found = found.read().unwrap();
        assert_eq!(found.body, entry(found.position.index, 300 << 10).body);
    }
}

#[test]
fn the_committed_position_comes_back_but_never_beyond_the_log() {
    let dir = TempDir::new().unwrap();
    let mut journal = filled(dir.path(), 0..5, 40);
    journal.lock().commit(Some(position(3)));
    append(&mut journal, &[entry(5, 40)]);
    drop(journal);
    let mut journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.lock().committed(), Some(position(3)));
    journal.lock().commit(Some(position(90)));
    journal.close().unwrap();
    drop(journal);
    assert_eq!(Journal::open(dir.path()).unwrap().lock().committed(), Some(position(5)));
}

fn failing(_: &File) -> io::Result<()> {
    Err(io::Error::other("the disk is gone"))
}

#[test]
fn a_failed_flush_seals_the_journal_for_good() {
    let dir = TempDir::new().unwrap();
    let journal = Journal::open(dir.path()).unwrap().syncing_by(failing);
    let writer = Writer::start(journal, dir.path()).unwrap();
    for index in 0..2 {
        let (heard, hear) = mpsc::channel();
        writer.append(vec![entry(index, 10)], move |result| heard.send(result).unwrap());
        assert!(hear.recv_timeout(Duration::from_secs(10)).unwrap().is_err());
    }
    assert!(writer.view().lock().unwrap().sealed().is_some());
}

#[tokio::test]
async fn the_vote_survives_and_a_damaged_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let open = || Writer::start(Journal::open(dir.path()).unwrap(), dir.path());
    let writer = open().unwrap();
    assert_eq!(writer.vote(), None);
    writer.save_vote(Bytes::from_static(b"{\"term\":4}")).await.unwrap();
    drop(writer);
    assert_eq!(open().unwrap().vote(), Some(Bytes::from_static(b"{\"term\":4}")));
    fs::write(dir.path().join("vote"), "00000000\n{\"term\":4}").unwrap();
    assert!(open().is_err());
}

use super::{Entry, Journal, View, disk, view};
use crate::Position;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

/// Told once, when what was asked is durable or has failed.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

enum Job {
    Append(Vec<Entry>, Done),
    Truncate(u64, Done),
    Purge(Position, Done),
    Vote(Bytes, Done),
    Close,
}

/// The thread that owns a [`Journal`], and the way to it.
///
/// Jobs are done in the order they come. Appends that wait together are made durable by one flush.
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    view: Arc<Mutex<View>>,
    vote: Arc<Mutex<Option<Bytes>>>,
    thread: Option<JoinHandle<()>>,
}

const VOTE_BYTES_MAX: u64 = 64 << 10;

impl Writer {
    /// Starts the owner of `journal`, whose vote is the file `vote` in `dir`.
    pub(crate) fn start(journal: Journal, dir: &Path) -> io::Result<Self> {
        let vote_path = dir.join("vote");
        let vote = Arc::new(Mutex::new(read_vote(&vote_path)?));
        let (jobs, inbox) = mpsc::channel();
        let view = journal.view();
        let mut owner = Owner { journal, vote_path, vote: Arc::clone(&vote), waiting: Vec::new() };
        let thread = std::thread::Builder::new().name("quorum-log".into()).spawn(move || owner.run(&inbox))?;
        Ok(Self { jobs, view, vote, thread: Some(thread) })
    }

    /// What readers see.
    pub(crate) fn view(&self) -> Arc<Mutex<View>> {
        Arc::clone(&self.view)
    }

    /// The last vote.
    pub(crate) fn vote(&self) -> Option<Bytes> {
        self.vote.lock().ok()?.clone()
    }

    /// Makes `entries` readable now; `done` hears when they are durable.
    pub(crate) fn append(&self, entries: Vec<Entry>, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let pushed = view::lock(&self.view).push(&entries);
        match pushed {
            Ok(()) => self.send(Job::Append(entries, Box::new(done))),
            Err(what) => done(Err(io::Error::new(io::ErrorKind::InvalidInput, what))),
        }
    }

    /// Removes all entries from `since` on.
    pub(crate) async fn truncate(&self, since: u64) -> io::Result<()> {
        self.ask(|done| Job::Truncate(since, done)).await
    }

    /// Forgets all entries up to `upto`.
    pub(crate) async fn purge(&self, upto: Position) -> io::Result<()> {
        self.ask(|done| Job::Purge(upto, done)).await
    }

    /// Makes `vote` the last one.
    pub(crate) async fn save_vote(&self, vote: Bytes) -> io::Result<()> {
        self.ask(|done| Job::Vote(vote, done)).await
    }

    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, heard) = tokio::sync::oneshot::channel();
        self.send(job(Box::new(move |result| _ = done.send(result))));
        heard.await.unwrap_or_else(|_| Err(io::Error::other("the log of the quorum is closed")))
    }

    fn send(&self, job: Job) {
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            job.fail("the log of the quorum is closed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        _ = self.jobs.send(Job::Close);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Job {
    fn fail(self, why: &str) {
        match self {
            Self::Append(_, done) | Self::Truncate(_, done) | Self::Purge(_, done) | Self::Vote(_, done) => {
                done(Err(io::Error::other(why.to_owned())));
            }
            Self::Close => {}
        }
    }
}

struct Owner {
    journal: Journal,
    vote_path: PathBuf,
    vote: Arc<Mutex<Option<Bytes>>>,
    /// Who waits for the next flush.
    waiting: Vec<Done>,
}

impl Owner {
    fn run(&mut self, inbox: &mpsc::Receiver<Job>) {
        let mut open = true;
        while open {
            let Ok(job) = inbox.recv() else { break };
            open = self.take(job);
            while open && let Ok(job) = inbox.try_recv() {
                open = self.take(job);
            }
            self.flush();
        }
        if self.sealed().is_none() {
            let result = self.journal.close();
            self.note(&result);
        }
    }

    /// Does `job`; `false` when it was the last.
    fn take(&mut self, job: Job) -> bool {
        if let Some(why) = self.sealed() {
            let open = !matches!(job, Job::Close);
            job.fail(&why);
            return open;
        }
        match job {
            Job::Append(entries, done) => self.append(&entries, done),
            Job::Truncate(since, done) => self.change(done, |owner| owner.journal.truncate(since)),
            Job::Purge(upto, done) => self.change(done, |owner| owner.journal.purge(upto)),
            Job::Vote(vote, done) => self.change(done, |owner| owner.save_vote(vote)),
            Job::Close => return false,
        }
        true
    }

    fn append(&mut self, entries: &[Entry], done: Done) {
        let result = self.journal.append(entries);
        self.note(&result);
        match result {
            Ok(()) => self.waiting.push(done),
            Err(error) => done(Err(error)),
        }
    }

    /// Makes a change that has to come after all appends before it.
    fn change(&mut self, done: Done, change: impl FnOnce(&mut Self) -> io::Result<()>) {
        self.flush();
        let result = match self.sealed() {
            Some(why) => Err(io::Error::other(why)),
            None => change(self),
        };
        self.note(&result);
        done(result);
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let result = match self.sealed() {
            Some(why) => Err(io::Error::other(why)),
            None => self.journal.flush(),
        };
        self.note(&result);
        for done in std::mem::take(&mut self.waiting) {
            done(result.as_ref().map(|_| ()).map_err(|error| io::Error::new(error.kind(), error.to_string())));
        }
    }

    fn save_vote(&mut self, vote: Bytes) -> io::Result<()> {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &vote);
        let mut file = format!("{crc:08x}\n").into_bytes();
        file.extend_from_slice(&vote);
        disk::replace(&self.vote_path, &file)?;
        if let Ok(mut last) = self.vote.lock() {
            *last = Some(vote);
        }
        Ok(())
    }

    fn sealed(&self) -> Option<String> {
        view::lock(&self.journal.view).sealed().map(|why| format!("the log of the quorum is sealed: {why}"))
    }

    fn note(&mut self, result: &io::Result<()>) {
        if let Err(error) = result {
            tracing::error!(%error, "the log of the quorum is sealed");
            view::lock(&self.journal.view).seal(error);
        }
    }
}

fn read_vote(path: &Path) -> io::Result<Option<Bytes>> {
    let file = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(file) if file.len() > VOTE_BYTES_MAX => return Err(super::corrupt(path, "it is too long")),
        Ok(_) => Bytes::from(std::fs::read(path)?),
    };
    let Some((crc, vote)) = file.get(..9).map(|crc| (crc, file.slice(9..))) else {
        return Err(super::corrupt(path, "it is too short"));
    };
    let expected = format!("{:08x}\n", crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &vote));
    if crc != expected.as_bytes() {
        return Err(super::corrupt(path, "its checksum is wrong"));
    }
    Ok(Some(vote))
}

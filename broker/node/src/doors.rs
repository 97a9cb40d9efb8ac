//! Opening the three listeners, and closing everything again.

use crate::listener::{self, Budget, Door, Hall};
use crate::partitions::Held;
use crate::replica::Partition;
use crate::{Broker, Listeners};
use model::{ByteCount, Offset};
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Bytes of requests that may be in memory at once: those of clients, over both their listeners, and those of brokers and
/// regions. Above the largest frame of any.
const REQUEST_BYTES_MAX: ByteCount = ByteCount::mib(256);
/// How often to look at the disk.
const DISK_LOOK: Duration = Duration::from_secs(1);
/// How often to write down how far logs are committed (`replica.high.watermark.checkpoint.interval.ms`).
const WATERMARK_NOTES: Duration = Duration::from_secs(5);
/// How often to look for records that have waited for the disk long enough; `flush.ms` is kept to this.
const FLUSH_LOOK: Duration = Duration::from_millis(500);
/// How many logs are closed at once.
const CLOSING_AT_ONCE: usize = 8;
/// How often producers that are gone are forgotten.
const PRODUCER_SWEEP: Duration = Duration::from_secs(600);
/// A producer that wrote nothing for so long is forgotten (Kafka's `producer.id.expiration.ms`).
const PRODUCER_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The three sockets, bound and not served yet.
pub(crate) struct Doors {
    clients: TcpListener,
    gateways: TcpListener,
    internal: TcpListener,
}

impl Doors {
    /// Binds all three.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub(crate) async fn bind(listeners: &Listeners) -> io::Result<Self> {
        Ok(Self {
            clients: listener::bind(listeners.clients).await?,
            gateways: listener::bind(listeners.gateways).await?,
            internal: listener::bind(listeners.internal).await?,
        })
    }

    /// Where they are.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn addresses(&self) -> io::Result<Listeners> {
        Ok(Listeners {
            clients: self.clients.local_addr()?,
            gateways: self.gateways.local_addr()?,
            internal: self.internal.local_addr()?,
        })
    }

    /// Serves them until the broker stops.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(self, broker: &Broker) -> io::Result<()> {
        let Listeners { clients, gateways, internal } = self.addresses()?;
        let of_clients = Arc::new(Budget::new(REQUEST_BYTES_MAX));
        // What clients wait for with their share in hand is told by replicas: they must never have to wait for it.
        let of_brokers = Arc::new(Budget::new(REQUEST_BYTES_MAX));
        for (door, address, socket) in [
            (Door::Clients, clients, self.clients),
            (Door::Gateways, gateways, self.gateways),
            (Door::Internal, internal, self.internal),
        ] {
            let hall = Hall {
                door,
                address,
                dispatch: Arc::new(broker.clone()),
                budget: if door == Door::Internal { of_brokers.clone() } else { of_clients.clone() },
                quotas: broker.0.quotas.clone(),
            };
            let (socket, stop) = (socket.into_std()?, broker.0.stop.subscribe());
            let serving = async move {
                match TcpListener::from_std(socket) {
                    Ok(socket) => listener::serve(socket, Arc::new(hall), stop).await,
                    Err(error) => tracing::error!(%error, %address, "listener cannot be served"),
                }
            };
            broker.tasks().spawn_on(serving, broker.0.data_plane.handle());
        }
        Ok(())
    }
}

impl Broker {
    /// Runs `task` until it ends; the broker's shutdown waits for it. It has to end when `stop` turns true.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        tasks.spawn(task);
        // Those that ended need not be kept.
        while tasks.try_join_next().is_some() {}
    }

    /// The same on the threads that serve connections.
    pub(crate) fn spawn_on_data_plane(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks().spawn_on(task, self.0.data_plane.handle());
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after disk and logs until the broker stops.
    pub(crate) fn keep_up(&self) {
        self.spawn(self.clone().keep_clean());
        self.spawn(self.clone().tell_conflicts());
        self.spawn(self.clone().keep_proofs());
        let every = |period: Duration, work: fn(&Self)| self.spawn(self.clone().every(period, work));
        every(DISK_LOOK, Self::look_at_disks);
        self.spawn(self.clone().report_failures());
        every(WATERMARK_NOTES, |broker| {
            let broker = broker.clone();
            drop(tokio::task::spawn_blocking(move || broker.note_watermarks()));
        });
        every(FLUSH_LOOK, |broker| {
            broker.0.partitions.held().partitions().for_each(Partition::flush_if_due);
        });
        every(PRODUCER_SWEEP, |broker| {
            let since = broker.0.clock.now().0.saturating_sub(PRODUCER_IDLE_MAX.as_millis() as i64);
            let held = broker.0.partitions.held();
            held.partitions().for_each(|partition| partition.expire_producers(model::Timestamp(since)));
        });
    }

    /// Writes down how far the logs are committed. It may block.
    fn note_watermarks(&self) {
        let held = self.0.partitions.held();
        for dir in self.0.storage.dirs.online() {
            let here = held.partitions().filter(|partition| Arc::ptr_eq(&partition.dir, dir));
            let marks = here.map(|partition| (partition.place(), partition.marks().high_watermark));
            dir.note_committed(marks.filter(|(_, mark)| *mark > Offset::ZERO).collect());
        }
    }

    async fn every(self, period: Duration, work: fn(&Self)) {
        let mut stop = self.0.stop.subscribe();
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = listener::stopped(&mut stop) => return,
                _ = ticks.tick() => work(&self),
            }
        }
    }

    /// Ends all tasks, then closes the logs, so that the next start has nothing to recover. Whether all of them are on disk.
    pub(crate) async fn close_storage(&self) -> bool {
        self.0.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks());
        while tasks.join_next().await.is_some() {}
        let broker = self.clone();
        let closing = tokio::task::spawn_blocking(move || {
            broker.0.storage.flusher.close();
            broker.note_watermarks();
            close_all(&broker.0.partitions.held())
        });
        closing.await.unwrap_or_else(|_| {
            tracing::error!("logs were not closed in an orderly way; they are recovered at the next start");
            false
        })
    }
}

/// Closes every log, several at once: most of it is waiting for the disk. Whether all of them are on disk.
fn close_all(held: &Held) -> bool {
    let logs: Vec<_> = held.partitions().collect();
    let part = logs.len().div_ceil(CLOSING_AT_ONCE).max(1);
    // Every one is closed, whatever becomes of the others.
    let close = |part: &[&Arc<Partition>]| part.iter().filter(|log| !log.close()).count();
    std::thread::scope(|scope| {
        let closing: Vec<_> = logs.chunks(part).map(|part| scope.spawn(move || close(part))).collect();
        let open: usize = closing.into_iter().map(|part| part.join().unwrap_or(1)).sum();
        open == 0
    })
}

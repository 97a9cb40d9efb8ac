use mirror_core::archive::{ContentHasher, ObjectHash};
use model::Offset;
use record::{BatchView, Batches};

/// What a log holds, as it was read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Proof {
    content: ContentHasher,
    tail: Offset,
}

impl Proof {
    /// Begins at `from`.
    pub(super) fn new(from: Offset) -> Self {
        Self { content: ContentHasher::default(), tail: from }
    }

    /// From where to read on.
    pub(super) fn tail(&self) -> Offset {
        self.tail
    }

    /// Takes what a read from the tail gave, up to the first batch that is not whole.
    pub(super) fn take(&mut self, batches: &[u8]) {
        let mut whole = Batches::new(batches);
        let last = whole.by_ref().map_while(Result::ok).last().map(|batch: BatchView<'_>| batch.next_offset());
        self.tail = last.unwrap_or(self.tail);
        self.content.update(&batches[..whole.position()]);
    }

    pub(super) fn hash(&self) -> ObjectHash {
        self.content.hash()
    }
}

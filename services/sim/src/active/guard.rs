use crate::named::named;

named! {
    /// What keeps regions that all take writes together. Taken away outside the core, as everywhere here.
    Guard {
        /// A target says what it has, and is sent nothing of that.
        OriginFilter = "send-only-what-is-lacking",
        /// Each origin's records come over one link at a time.
        OneLinkPerOrigin = "one-link-per-origin",
        /// A source keeps back what the target cannot take yet.
        WaitForSeen = "wait-for-what-the-writer-had",
        /// What a record's region had received is told as it was when the record was written.
        SeenAtWrite = "received-as-of-the-write",
        /// Links read what cannot be lost any more.
        ReadDurable = "links-read-what-is-durable",
        /// The side log is durable before the batch is visible.
        StoryFirst = "story-durable-before-visible",
        /// After a crash the log is cut off where its story ends.
        CutToStory = "cut-the-log-to-its-story",
        /// What was not settled is looked at again after a restart.
        Replay = "replay-what-is-not-settled",
        /// Where another record stands last, the standing one is repeated.
        RepeatStanding = "repeat-the-standing-version",
        /// What another region has received counts from where everything it wrote before is here.
        RowsInOrder = "received-counts-behind-what-was-written",
        /// A region tells what it has received once it cannot lose that.
        RowsDurable = "tell-received-once-durable",
        /// A conflict is told once the records it is about are durable: one of them may be lost by a crash.
        TellDurable = "tell-conflicts-once-durable",
        /// What a conflict is about that was not told yet is not skipped after a restart.
        MarkUntold = "settled-mark-below-untold-conflicts",
    }
}

use crate::named::named;

named! {
    /// Something worth trying.
    Marker {
        /// All regions have links to all others.
        Mesh = "mesh",
        /// Each region has a link to the next one.
        Ring = "ring",
        /// Each region has links to its two neighbours.
        RingBothWays = "ring-both-ways",
        /// All links begin or end in one region.
        Star = "star",
        /// Conflicts were found under this policy, and so on.
        LastWriterWins = "last-writer-wins",
        /// See above.
        RegionPriority = "region-priority",
        /// See above.
        KeepBoth = "keep-both",
        /// See above.
        Quarantine = "quarantine",
        /// A conflict of two writes with the same stamp.
        SameTime = "conflict-at-the-same-time",
        /// A human settled a dispute.
        Settled = "settled",
        /// A standing version was repeated.
        Repeated = "repeated",
        /// Records of a region came over another one though there is a link.
        Detour = "detour",
        /// A source had something, but not yet for this target.
        KeptBack = "kept-back-what-was-too-early",
        /// A line was cut for most of the hour.
        LongCut = "cut-for-most-of-the-hour",
        /// A line was cut in one direction.
        OneWayCut = "one-way-cut",
        /// A message was lost in a cut.
        Lost = "message-lost",
        /// A region crashed with records that were not durable.
        CrashUnflushed = "crash-with-unflushed-records",
        /// A frame of a side log was torn.
        TornStory = "torn-story",
        /// A log was longer than its story after a crash.
        LogCut = "log-cut-to-story",
        /// A story was longer than its log.
        StoryCut = "story-cut-to-log",
        /// A restart had something to look at again.
        Replayed = "replayed",
        /// A stamp was too far ahead to be followed.
        Drift = "drift-guard",
        /// A clock jumped.
        ClockJump = "clock-jumped",
        /// All versions that were held have been let go.
        LetGo = "versions-let-go",
    }
}

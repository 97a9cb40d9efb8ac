use model::Offset;

/// What to do with a log and its side log, which were not flushed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// They end at the same offset.
    Whole,
    /// Batches were flushed whose story was not. Nobody has seen them: the log is cut off here.
    CutLog {
        /// Where the story ends.
        to: Offset,
    },
    /// The story goes on above the log: it is cut off here.
    CutStory {
        /// Where the log ends.
        to: Offset,
    },
    /// Batches that readers and links may have seen have no story. Nothing can be made up: this replica has to be made
    /// again from another one.
    Rebuild {
        /// Where the story ends.
        story: Offset,
        /// Below it the log was visible.
        visible: Offset,
    },
}

/// What belongs together of a log that ends at `tail` and was visible below `visible`, and runs that end at `story`.
pub fn recovery(tail: Offset, visible: Offset, story: Offset) -> Recovery {
    if story < visible.min(tail) {
        return Recovery::Rebuild { story, visible };
    }
    match story.cmp(&tail) {
        std::cmp::Ordering::Equal => Recovery::Whole,
        std::cmp::Ordering::Less => Recovery::CutLog { to: story },
        std::cmp::Ordering::Greater => Recovery::CutStory { to: tail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_seen_is_cut_off() {
        let (ten, twelve) = (Offset(10), Offset(12));
        assert_eq!(recovery(ten, ten, ten), Recovery::Whole);
        assert_eq!(recovery(twelve, ten, ten), Recovery::CutLog { to: ten });
        assert_eq!(recovery(ten, ten, twelve), Recovery::CutStory { to: ten });
        assert_eq!(recovery(twelve, twelve, ten), Recovery::Rebuild { story: ten, visible: twelve });
    }
}

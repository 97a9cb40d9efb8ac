//! Decisions of the mirror and the archive: window, lag, gaps, archive layout, restore plan. Pure.

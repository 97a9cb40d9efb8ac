use crate::limits;

/// Which part of a list is wanted. Lists of things that happened show the newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The most things wanted; `None` for as many as a page may hold.
    pub limit: Option<u32>,
    /// What the page before gave as `next`.
    pub after: Option<u64>,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct PageOf<T> {
    /// The things.
    pub items: Vec<T>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<u64>,
}

impl Page {
    /// The first page, of at most `limit` things.
    pub const fn of(limit: u32) -> Self {
        Self { limit: Some(limit), after: None }
    }

    pub(crate) fn rows(&self) -> usize {
        self.limit.unwrap_or(limits::PAGE_ROWS_MAX).clamp(1, limits::PAGE_ROWS_MAX) as usize
    }

    /// One row more than the page holds tells whether there is another page.
    pub(crate) fn rows_to_read(&self) -> i64 {
        self.rows() as i64 + 1
    }

    /// Numbers below this one are on the page, where the newest comes first.
    pub(crate) fn below(&self) -> i64 {
        self.after.and_then(|after| i64::try_from(after).ok()).unwrap_or(i64::MAX)
    }
}

impl<T> PageOf<T> {
    pub(crate) fn cut(page: &Page, mut items: Vec<T>, number: impl Fn(&T) -> u64) -> Self {
        let more = items.len() > page.rows();
        items.truncate(page.rows());
        let next = items.last().map(number).filter(|_| more);
        Self { items, next }
    }
}

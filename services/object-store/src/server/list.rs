//! A bucket's names in order, page by page, read from the tree.

use super::backend::{Info, info_at};
use super::key::{Entry, entry};
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Which names are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Query<'a> {
    pub prefix: &'a str,
    /// Only what comes after this.
    pub after: &'a str,
    /// Names that go on behind the prefix up to this are shown as one; empty for none.
    pub delimiter: &'a str,
    pub limit: usize,
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub objects: Vec<(String, Info)>,
    /// Beginnings that several names share.
    pub prefixes: Vec<String>,
    /// What the last line of this page is, when there are more.
    pub next: Option<String>,
}

/// Reads the page of the bucket at `directory` that `query` asks for.
pub(crate) fn page(directory: &Path, query: Query<'_>) -> io::Result<Page> {
    let mut walk = Walk { query, page: Page::default(), last: String::new() };
    if query.limit > 0 {
        let _end = walk.directory(directory, "")?;
    }
    Ok(walk.page)
}

struct Walk<'a> {
    query: Query<'a>,
    page: Page,
    /// The last line taken.
    last: String,
}

type Step = io::Result<ControlFlow<()>>;

impl Walk<'_> {
    fn directory(&mut self, path: &Path, name: &str) -> Step {
        for (entry, path) in entries(path)? {
            let name = format!("{name}{}", entry.name);
            let step = if entry.is_object { self.object(&name, &path)? } else { self.subdirectory(&name, &path)? };
            if step.is_break() {
                return Ok(step);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn subdirectory(&mut self, name: &str, path: &Path) -> Step {
        if !self.may_hold(name) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.query.delimiter == "/" && name.len() > self.query.prefix.len() {
            return if has_object(path)? { Ok(self.shared(name)) } else { Ok(ControlFlow::Continue(())) };
        }
        self.directory(path, name)
    }

    /// Whether a directory whose names all begin with `name` can hold something that is asked for.
    fn may_hold(&self, name: &str) -> bool {
        let Query { prefix, after, .. } = self.query;
        (name.starts_with(prefix) || prefix.starts_with(name)) && (name > after || after.starts_with(name))
    }

    fn object(&mut self, name: &str, path: &Path) -> Step {
        if !name.starts_with(self.query.prefix) {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(end) = self.shared_end(name) {
            return Ok(self.shared(&name[..end]));
        }
        if name <= self.query.after {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(info) = info_at(path)? else { return Ok(ControlFlow::Continue(())) };
        Ok(self.take(name, |page, name| page.objects.push((name, info))))
    }

    fn shared_end(&self, name: &str) -> Option<usize> {
        let Query { prefix, delimiter, .. } = self.query;
        if delimiter.is_empty() {
            return None;
        }
        name[prefix.len()..].find(delimiter).map(|at| prefix.len() + at + delimiter.len())
    }

    fn shared(&mut self, name: &str) -> ControlFlow<()> {
        if name <= self.query.after || name == self.last {
            return ControlFlow::Continue(());
        }
        self.take(name, |page, name| page.prefixes.push(name))
    }

    fn take(&mut self, name: &str, push: impl FnOnce(&mut Page, String)) -> ControlFlow<()> {
        if self.page.objects.len() + self.page.prefixes.len() == self.query.limit {
            self.page.next = Some(std::mem::take(&mut self.last));
            return ControlFlow::Break(());
        }
        name.clone_into(&mut self.last);
        push(&mut self.page, name.to_owned());
        ControlFlow::Continue(())
    }
}

/// What lies in a directory, in the order of the names; nothing when it has gone.
fn entries(path: &Path) -> io::Result<Vec<(Entry, PathBuf)>> {
    let listing = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut entries = Vec::new();
    for file in listing {
        let file = file?;
        let is_directory = file.file_type()?.is_dir();
        entries.extend(
            file.file_name().to_str().and_then(|name| entry(name, is_directory)).map(|entry| (entry, file.path())),
        );
    }
    entries.sort();
    Ok(entries)
}

fn has_object(path: &Path) -> io::Result<bool> {
    for (entry, path) in entries(path)? {
        if entry.is_object || has_object(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::key::place;
    use super::*;

    const NAMES: [&str; 9] = ["a", "a-b", "a/", "a/b", "a/b/c", "a/d", "b%/x", "b/..", "z"];

    fn bucket() -> tempfile::TempDir {
        let bucket = tempfile::tempdir().unwrap();
        for name in NAMES {
            let path = place(name).unwrap();
            fs::create_dir_all(bucket.path().join(&path.directory)).unwrap();
            fs::write(bucket.path().join(&path.directory).join(&path.file), name).unwrap();
        }
        fs::create_dir_all(bucket.path().join("empty/inside")).unwrap();
        bucket
    }

    fn names(page: &Page) -> Vec<&str> {
        page.objects.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn names_come_in_their_order_whatever_the_page() {
        let bucket = bucket();
        for limit in 1..12 {
            let (mut all, mut after) = (Vec::new(), Some(String::new()));
            while let Some(from) = after {
                let page = page(bucket.path(), Query { after: &from, limit, ..Query::default() }).unwrap();
                all.extend(names(&page).into_iter().map(str::to_owned));
                after = page.next;
            }
            assert_eq!(all, NAMES, "pages of {limit}");
        }
    }

    #[test]
    fn a_prefix_need_not_end_at_a_slash() {
        let bucket = bucket();
        let page = page(bucket.path(), Query { prefix: "a/b", limit: 10, ..Query::default() }).unwrap();
        assert_eq!(names(&page), ["a/b", "a/b/c"]);
    }

    fn lines(query: Query<'_>) -> (Vec<String>, Vec<String>) {
        let page = page(bucket().path(), query).unwrap();
        (page.objects.into_iter().map(|(name, _)| name).collect(), page.prefixes)
    }

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn a_delimiter_folds_what_goes_on_behind_it() {
        let slashes = Query { delimiter: "/", limit: 10, ..Query::default() };
        assert_eq!(lines(slashes), (owned(&["a", "a-b", "z"]), owned(&["a/", "b%/", "b/"])));
        assert_eq!(lines(Query { prefix: "a/", ..slashes }), (owned(&["a/", "a/b", "a/d"]), owned(&["a/b/"])));
        let dashes = Query { delimiter: "-", limit: 3, ..Query::default() };
        assert_eq!(lines(dashes), (owned(&["a", "a/"]), owned(&["a-"])));
    }

    #[test]
    fn a_folded_page_goes_on_behind_the_fold() {
        let query = Query { delimiter: "/", limit: 3, ..Query::default() };
        assert_eq!(page(bucket().path(), query).unwrap().next.as_deref(), Some("a/"));
        assert_eq!(lines(Query { after: "a/", ..query }), (owned(&["z"]), owned(&["b%/", "b/"])));
        assert_eq!(lines(Query { after: "b/", ..query }), (owned(&["z"]), owned(&[])));
    }
}

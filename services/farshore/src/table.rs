//! Tables for people, JSON for scripts.

use crate::output::{self, say};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;

/// Columns of text under their titles.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    columns: usize,
}

impl Table {
    /// An empty table with these titles.
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_uppercase).to_vec()], columns: N }
    }

    /// Adds one row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns, "a row has one cell per title");
        self.rows.push(cells.to_vec());
    }

    /// Whether there is anything below the titles.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table as text, columns aligned, no trailing blanks.
    pub(crate) fn render(&self) -> String {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:<width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Prints `value` as JSON, or `table` of it for people.
///
/// # Errors
/// When the value has no JSON form.
pub(crate) fn print<T: Serialize>(json: bool, value: &T, table: impl FnOnce(&T) -> Table) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(value)?)?;
        return Ok(());
    }
    let table = table(value);
    if table.is_empty() {
        say!("none")?;
    } else {
        output::write(table.render())?;
    }
    Ok(())
}

/// `value`, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["name", "tail"]);
        table.row(["orders-0".into(), "17".into()]);
        table.row(["x".into(), "4".into()]);
        assert_eq!(table.render(), "NAME      TAIL\norders-0  17\nx         4\n");
    }
}

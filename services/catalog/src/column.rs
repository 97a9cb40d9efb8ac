//! Columns to values. A value that is not understood stops the node instead of being guessed.

use crate::CatalogError;
use model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::str::FromStr;

fn corrupt(column: &str, value: impl ToString) -> CatalogError {
    CatalogError::Corrupt { column: column.to_owned(), value: value.to_string().chars().take(128).collect() }
}

pub(crate) fn text<T: FromStr>(row: &SqliteRow, column: &str) -> Result<T, CatalogError> {
    let value: &str = row.try_get(column)?;
    value.parse().map_err(|_| corrupt(column, value))
}

pub(crate) fn maybe_text<T: FromStr>(row: &SqliteRow, column: &str) -> Result<Option<T>, CatalogError> {
    let value: Option<&str> = row.try_get(column)?;
    value.map(|value| value.parse().map_err(|_| corrupt(column, value))).transpose()
}

pub(crate) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, CatalogError> {
    let value: &str = row.try_get(column)?;
    serde_json::from_str(value).map_err(|_| corrupt(column, value))
}

pub(crate) fn maybe_json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<Option<T>, CatalogError> {
    let value: Option<&str> = row.try_get(column)?;
    value.map(|value| serde_json::from_str(value).map_err(|_| corrupt(column, value))).transpose()
}

/// A word of a fixed set, as serde names it.
pub(crate) fn word<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, CatalogError> {
    let value: &str = row.try_get(column)?;
    serde_json::from_value(value.into()).map_err(|_| corrupt(column, value))
}

pub(crate) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T, CatalogError> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| corrupt(column, value))
}

pub(crate) fn maybe_number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<Option<T>, CatalogError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| T::try_from(value).map_err(|_| corrupt(column, value))).transpose()
}

pub(crate) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, CatalogError> {
    Ok(Timestamp(row.try_get(column)?))
}

pub(crate) fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, CatalogError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

/// The JSON that [`json`] reads back.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("the catalog's own types have string keys and no failing parts")
}

/// The word that [`word`] reads back.
pub(crate) fn to_word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a fixed set of words is not {other:?}"),
    }
}

/// A counter as SQLite stores it. Counters of the catalog stay far below 2^63.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("no counter of the catalog comes near 2^63")
}

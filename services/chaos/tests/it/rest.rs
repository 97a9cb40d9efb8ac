//! As much of HTTP as it takes to ask the REST API.

use api::Page;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than it may take to compare a diverged tail and to ask the object store for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The document at `path` of the API at `base` (`http://host:port`), or what was answered in its place.
pub(crate) fn get<T: DeserializeOwned>(base: &str, path: &str) -> Result<T, String> {
    let address = base.strip_prefix("http://").ok_or_else(|| format!("{base} is no http address"))?;
    let answer = exchange(address, path).map_err(|error| format!("{base}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP in {answer:?}"))?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(format!("{path}: {status}: {body}"));
    }
    serde_json::from_str(body).map_err(|error| format!("{path}: {error} in {body}"))
}

/// The whole list at `path`; `query` is the rest of the query.
pub(crate) fn list<T: DeserializeOwned>(base: &str, path: &str, query: &str) -> Result<Vec<T>, String> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page: Page<T> = get(base, &format!("{path}?limit=1000{query}{after}"))?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(items),
        }
    }
}

fn exchange(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    // HTTP/1.0: the body comes unchunked and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

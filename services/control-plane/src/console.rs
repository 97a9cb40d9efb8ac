//! The first page: how the platform is, at a glance. It needs nothing but this node's own API, which it asks again and
//! again; so it works at any region's address and through the front door.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("console/page.css");
const SCRIPT: &str = include_str!("console/page.js");
/// The page may run its own script and style, and ask nobody but where it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub(crate) async fn page() -> Response {
    let headers = [("content-security-policy", POLICY), ("x-content-type-options", "nosniff")];
    (headers, frame()).into_response()
}

fn frame() -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Farshore" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header())
                main {
                    section #findings hidden {}
                    (section("regions", "Regions", &["Region", "State", "Score", "Council", "Partitions", "On disk", "Kafka clients"]))
                    (section("groups", "Protection groups", &["Group", "Owner", "Epoch", "Standbys ready", "Lag", "Automatic", "Run"]))
                    (section("links", "Links", &["Link", "State", "Records", "Bytes", "Seconds"]))
                    (section("topics", "Topics", &["Topic", "Partitions", "Group", "Owner"]))
                    (section("runs", "Runs", &["Run", "Kind", "From", "To", "State", "Began", "Took"]))
                    (section("backups", "Backups", &["Backup", "Group", "State", "Began", "Records", "Bytes"]))
                }
                footer {
                    "Farshore " (env!("CARGO_PKG_VERSION")) " · node " span #node { "…" }
                    " · " span #freshness { "asking…" }
                }
                noscript { p.note { "This page asks the API with a script; without one, see " a href="/v1/health" { "/v1/health" } "." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn header() -> Markup {
    html! {
        header {
            h1 { "Farshore" }
            span #status.badge { "…" }
            nav {
                a href="/swagger-ui/" { "API" }
                a href="/openapi.json" { "OpenAPI" }
                a href="/v1/health" { "Health" }
                a href="/metrics" { "Metrics" }
            }
        }
    }
}

fn section(id: &str, title: &str, columns: &[&str]) -> Markup {
    html! {
        section {
            h2 { (title) }
            div.scroll {
                table {
                    thead { tr { @for column in columns { th { (column) } } } }
                    tbody id=(id) { tr { td.none colspan=(columns.len()) { "asking…" } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = frame().into_string();
        assert!(page.contains("Protection groups") && page.contains("/swagger-ui/"));
        for foreign in ["http://", "https://", "//cdn", "@import", "innerHTML"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_script_fills_every_table() {
        for id in ["regions", "groups", "links", "topics", "runs", "backups"] {
            assert!(SCRIPT.contains(&format!("fill(\"{id}\"")), "{id}");
        }
    }
}

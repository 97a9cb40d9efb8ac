//! Stories: `tests/scenarios/<story>.txt` is played, and what comes out is held against `<story>.out`.
//!
//! With `FARSHORE_BLESS=1` the `.out` files are written instead; look at the difference before committing it.

use crate::story::Story;
use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    scripts.sort();
    scripts
}

#[test]
fn every_story_ends_as_it_is_told() {
    let bless = std::env::var_os("FARSHORE_BLESS").is_some();
    let scripts = scripts();
    assert!(scripts.len() >= 8, "{} stories", scripts.len());
    for script in scripts {
        let told = Story::play(&std::fs::read_to_string(&script).unwrap());
        let golden = script.with_extension("out");
        if bless {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{}", script.display());
    }
}

use crate::council::{Council, form};
use crate::story::story;
use catalog::{Answer, BadCommand, Command, Refusal};
use model::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;

/// The form of the log's entries on disk. To pin a new change: `FARSHORE_BLESS=1 cargo test -p catalog`, then look at
/// the difference: what is there must stay as it is.
#[test]
fn the_stored_form_of_every_command_is_pinned() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/commands.jsonl");
    let lines: Vec<String> =
        story().iter().map(|command| String::from_utf8(command.encode().unwrap()).unwrap()).collect();
    let text = lines.join("\n") + "\n";
    if std::env::var_os("FARSHORE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden);
    for (line, command) in golden.lines().zip(story()) {
        assert_eq!(Command::decode(line.as_bytes()).unwrap(), command);
    }
}

#[test]
fn the_story_has_every_kind_of_change() {
    const KINDS: usize = 44;
    let kinds: BTreeSet<&str> = story().iter().map(|command| command.change.kind()).collect();
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
}

#[test]
fn an_entry_of_a_later_form_is_not_guessed() {
    let later = br#"{"v":2,"at":1,"by":"x","change":{"purge_topics":{"deleted_before":1}}}"#;
    assert!(matches!(Command::decode(later), Err(BadCommand::Newer { found: 2 })));
    assert!(serde_json::from_slice::<Command>(later).unwrap_err().to_string().contains("form 2"));
    let unknown = br#"{"v":1,"at":1,"by":"x","change":{"teleport":{}}}"#;
    assert!(matches!(Command::decode(unknown), Err(BadCommand::Unreadable(_))));
    assert!(Command::decode(b"").is_err());
}

#[tokio::test]
async fn the_same_key_has_one_effect() {
    let mut council = Council::empty().await;
    let keyed = |at, key: &str, regions| {
        Command::new(Timestamp(at), "tester", catalog::Change::from(form(regions))).with_request(key)
    };
    let first = council.decide_command(keyed(1, "key", 3)).await;
    assert!(matches!(first, Ok(Answer::Platform { .. })));
    assert_eq!(council.decide_command(keyed(2, "key", 3)).await, first);
    let setting = |name: &str| {
        let change = catalog::command::PutSetting { name: name.into(), value: 7.into(), expected: Some(0) };
        Command::new(Timestamp(3), "tester", change).with_request("second")
    };
    let first = council.decide_command(setting("a")).await;
    assert_eq!(first, Ok(Answer::Revision { revision: 1 }));
    assert_eq!(council.decide_command(setting("a")).await, first, "though the precondition no longer holds");
    let refusal = council.decide_command(setting("b")).await.unwrap_err();
    assert_eq!(refusal, Refusal::KeyUsed { key: "second".into(), change: "put_setting a".into() });
}

#[tokio::test]
async fn limits_are_held_and_refusals_travel_as_json() {
    let mut council = Council::formed().await;
    let topics = (0..1001).map(|n| crate::council::new_topic(&format!("t{n}"), n)).collect();
    let refusal = council.refusal(catalog::command::CreateTopics { topics }).await;
    assert!(matches!(refusal, Refusal::TooMany { count: 1001, limit: 1000, .. }), "{refusal}");
    assert_eq!(refusal.kind(), catalog::RefusalKind::Limit);
    let json = serde_json::to_string(&refusal).unwrap();
    assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal);
    let nobody = Command::new(Timestamp(1), "", catalog::Change::from(form(3)));
    assert!(matches!(council.decide_command(nobody).await, Err(Refusal::Unusable { .. })));
    let wordy = Command::new(Timestamp(1), "x".repeat(5000), catalog::Change::from(form(3)));
    assert!(matches!(council.decide_command(wordy).await, Err(Refusal::Unusable { .. })));
}

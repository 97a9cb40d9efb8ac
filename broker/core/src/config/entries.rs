use std::collections::BTreeMap;

/// Makes `changes` to the entries that somebody has of his own: a value sets one, `None` takes it away.
pub fn change_entries(own: &mut BTreeMap<String, String>, changes: impl IntoIterator<Item = (String, Option<String>)>) {
    for (name, value) in changes {
        match value {
            Some(value) => own.insert(name, value),
            None => own.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_set_in_order_and_taken_away() {
        let entry = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let mut own = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        change_entries(&mut own, [entry("a", None), entry("b", Some("2")), entry("b", Some("3")), entry("c", None)]);
        assert_eq!(own, BTreeMap::from([("b".to_owned(), "3".to_owned())]));
    }
}
